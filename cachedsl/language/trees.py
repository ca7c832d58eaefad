"""Lay a tree of the long form over its parent.

An explicit null is kept until the last merge is done, because it restores the default of a key that a parent has set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachedsl.language import methods
from cachedsl.language.parts import Refresh

Tree = dict[str, Any]

WHOLE = ("steps", Refresh.PART.key)
"""Keys of which a child's value replaces a parent's whole."""


def merge(parent: Mapping[str, Any], child: Mapping[str, Any], *, partial: bool = False) -> Tree:
    """Lay `child` over `parent`: mappings key by key; scalars, lists and masks replace; null removes.

    Another predictor or another tap begins anew, for the parent's parameters were chosen for the parent's. In what is
    `partial`, an entry of `stacks`, a signal stands for itself, and a predictor without a method is that of the policy
    below it, not `copy`.
    """
    merged = dict(parent)
    for key, value in child.items():
        below = parent.get(key)
        if not isinstance(value, Mapping) or not isinstance(below, Mapping) or key in WHOLE:
            merged[key] = value
        elif key == "predict":
            merged[key] = value if _another_method(below, value, partial) else merge(below, value)
        elif key == "signal":
            merged[key] = value if partial or value["tap"] != below.get("tap") else merge(below, value)
        else:
            merged[key] = merge(below, value, partial=partial or key == "stacks")
    return merged


def _another_method(below: Mapping[str, Any], value: Mapping[str, Any], partial: bool) -> bool:
    if "method" not in value:
        return False
    if partial and "method" not in below:
        return True
    return (value["method"] or methods.DEFAULT) != (below.get("method") or methods.DEFAULT)


def without_nulls(tree: Mapping[str, Any]) -> Tree:
    """Drop explicit nulls: what is not there has its default. In `stacks` they stay, for there they set it."""
    kept: Tree = {}
    for key, value in tree.items():
        if key == "stacks" and isinstance(value, Mapping):
            kept[key] = {name: partial for name, partial in value.items() if partial is not None}
        elif isinstance(value, Mapping):
            kept[key] = without_nulls(value)
        elif value is not None:
            kept[key] = value
    return kept
