"""Magnitude ratios in a file of their own, as `cachedsl calibrate magnitude` writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.beside import beside
from cachedsl.policy.merge import Tree
from cachedsl.source import Node, printable, read


class BadRatios(ValueError):
    """The ratios do not hold; the message says why."""


def ratios_findings(root: Node, policy: Path | None) -> Iterator[Diagnostic]:
    """Look into every file of ratios that the policy at `policy` (None for text) names."""
    for holder in (root, *(root.mapping["stacks"].mapping.values() if "stacks" in root.mapping else ())):
        node: Node | None = holder
        for key in ("reuse", "signal", "ratios"):
            node = node.mapping.get(key) if node is not None else None
        if node is None or not isinstance(node.value, str):
            continue
        try:
            _read_named(node.value, policy)
        except BadRatios as error:
            hint = "ratios are a list, a mapping of CFG branches to lists, or a file beside the policy that has them"
            yield Diagnostic("bad-ratios", f"reuse.signal.ratios: {error}", node.span, hint)


def with_ratios(tree: Tree, policy: Path | None) -> Tree:
    """Put what the named files hold in the place of their names; `ratios_findings` has found nothing."""
    for holder in (tree, *(tree.get("stacks") or {}).values()):
        signal = ((holder or {}).get("reuse") or {}).get("signal")
        if isinstance(signal, dict) and isinstance(signal.get("ratios"), str):
            signal["ratios"] = _read_named(signal["ratios"], policy)
    return tree


def _read_named(name: str, policy: Path | None) -> Any:
    label = printable(name)
    if policy is None:
        raise BadRatios(f"`{label}`: a policy that is no file has no file beside it")
    found = beside(name, policy)
    if not isinstance(found, Path):
        reason = {"missing": "there is no such file", "outside": "it leaves the policy's own tree"}[found]
        raise BadRatios(f"`{label}`: {reason}")
    source = read(found, label)
    if source.findings:
        raise BadRatios(f"`{label}` cannot be read: {source.findings[0].message}")
    ratios = None if source.root is None else source.root.plain().get("ratios")
    rows = list(ratios.values()) if isinstance(ratios, dict) else [ratios]
    if not rows or not all(isinstance(row, list) and row and all(map(_is_ratio, row)) for row in rows):
        raise BadRatios(f"`{label}` has no `ratios` of numbers above 0, one a step")
    return ratios


def _is_ratio(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
