"""A key says its default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import NOTHING

from cachedsl.language.methods import SHARED
from cachedsl.language.part import keys_of
from cachedsl.rules.asking import without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule
from cachedsl.text.tree import Node

RULE = Rule(
    "default-value",
    "meaning",
    "a key that repeats its default",
    severity="warning",
    why="A reader looks at a policy to see what it changes. Keys that change nothing hide those that do. Some "
    "keys may be written out all the same, because people compare policies by them: front blocks, warmup, "
    "threshold, and the parts of a signal or predictor.",
    bad="warmup: 4\ntail: 0\ncfg: auto",
    good="warmup: 4",
    category="style",
    fix="Removes the key; safe, because the plan stays the same.",
)


MAIN = frozenset(
    tuple(path.split("."))
    for path in (
        *("version", "name", "description", "extends", "compute", "compute.front", "warmup", "warmup.steps"),
        *("reuse.threshold", "reuse.signal", "predict", "predict.method", "prune.dynamic.relax"),
        *("steps", "stacks", "runtime"),
    )
)
"""What may be written out although it says nothing new, or says something else than it seems to."""


def check(context: Meaning) -> Findings:
    if context.document is not None and context.document.root is not None and context.parent is None:
        for path in _idle(context.policy, context.document.root, ()):
            fix = without(context.document, path, safe=True)
            message = f"{'.'.join(path)}: this is the default"
            yield RULE.finding(message, context.span(*path), "leave it out", fix=fix)


def _idle(part: Any, node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a mapping whose value is that of a policy without them."""
    keys = keys_of(type(part))
    for name, inner in node.mapping.items():
        here, one = (*path, name), keys.get(name)
        if one is None or (path == ("predict",) and name not in SHARED):
            continue
        value = getattr(part, one.name)
        below = hasattr(type(value), "PART") and bool(inner.mapping)
        if below and here not in (("reuse", "signal"), ("steps",), ("runtime",)):
            yield from _idle(value, inner, here)
        elif here not in MAIN and one.default is not NOTHING and value == _default(one):
            yield here


def _default(one: Any) -> Any:
    factory = getattr(one.default, "factory", None)
    return one.default if factory is None else factory()


CHECKS = (Check(RULE, check),)
