"""What a machine reads of a plan's JSON, as a table for docs/machine.md; the words are those of the classes."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs

from cachedsl.plan.rules import PrunePlan, Rules, SignalPlan
from cachedsl.text.docstrings import documented

OTHERS = frozenset({"back_signal", "predict", "features", "source", "parameters", "words", "holds"})
"""What measures, approximates and stores; no verdict depends on it."""


def machine_keys() -> str:
    """Return one row for each key of `rules` that a verdict depends on."""
    rows = [*_rows(Rules, ""), *_rows(SignalPlan, "signal."), *_rows(PrunePlan, "prune.")]
    return "\n".join(["| key of `rules` | words that it holds | what it says |", "|---|---|---|", *rows]) + "\n"


def _rows(cls: type[Any], under: str) -> list[str]:
    words, hints = documented(cls)[1], get_type_hints(cls)
    rows = []
    for name in (one.name for one in attrs.fields(cls) if one.name not in OTHERS):
        said = words[name].removesuffix(".").replace("None", "absent")
        rows.append(f"| `{under}{name}` | {', '.join(_literals(hints[name]))} | {said} |")
    return rows


def _literals(hint: Any) -> list[str]:
    """Return the words that a type lists, as JSON has them."""
    if hint is bool:
        return ["true", "false"]
    if get_origin(hint) is Literal:
        return [f"`{one}`" for one in get_args(hint)]
    return [word for inner in get_args(hint) for word in _literals(inner)]
