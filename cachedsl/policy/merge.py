"""Write shorthands out, and lay a policy over its parent.

Both work on plain trees of the long form. An explicit null is kept until the last merge is done, because it restores
the default of a key that a parent has set.
"""

from __future__ import annotations

import re
from typing import Any, get_args

import attrs

from cachedsl.policy.parts import Predict, PresetName
from cachedsl.policy.signal import Signal

Tree = dict[str, Any]

_FNBM = re.compile(r"F(\d+)B(\d+)")
PRESETS = get_args(PresetName)


def write_out(tree: Tree) -> Tree:
    """Return `tree` with every shorthand in its long form.

    A shorthand is a whole value: `warmup: 4` also says `interval: null`, so that nothing of a parent's long form is
    left beside it.
    """
    return {key: _long_form(key, value) for key, value in tree.items()}


def _long_form(key: str, value: Any) -> Any:
    if key == "stacks" and isinstance(value, dict):
        return {name: None if partial is None else write_out(partial) for name, partial in value.items()}
    if key == "reuse" and isinstance(value, dict):
        return {k: _long_form(k, v) for k, v in value.items()}
    if value is None or isinstance(value, dict):
        return value
    if key == "compute":
        match = _FNBM.fullmatch(value)
        assert match is not None, "the schema has checked the notation"
        return {"front": int(match[1]), "back": int(match[2]), "back_blocks": None, "back_threshold": None}
    if key == "steps" and value in PRESETS:
        return {"preset": value, "otherwise": None}
    if key in _SHORT:
        first, *rest = _SHORT[key]
        return {first: value, **dict.fromkeys(rest)}
    return value


_SHORT: dict[str, tuple[str, ...]] = {
    "warmup": ("steps", "interval"),
    "predict": tuple(a.name for a in attrs.fields(Predict)),
    "cfg": ("mode", "order", "decision"),
    "refresh": ("at", "repeat"),
    "max_accumulated": ("limit", "reset"),
    "steps": ("bits", "otherwise"),
    "signal": tuple(a.name for a in attrs.fields(Signal)),
}
_WHOLE = ("steps", "refresh")


def merge(parent: Tree, child: Tree, *, partial: bool = False) -> Tree:
    """Lay `child` over `parent`: mappings key by key; scalars, lists and masks replace; null removes.

    Another predictor or another tap begins anew, for the parent's parameters were chosen for the parent's. In what is
    `partial`, an entry of `stacks`, a predictor without a method is that of the policy below it, not `copy`.
    """
    merged = dict(parent)
    for key, value in child.items():
        below = parent.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and key not in _WHOLE:
            another = (key == "predict" and _another_method(below, value, partial)) or (
                key == "signal" and value["tap"] != below.get("tap")
            )
            merged[key] = value if another else merge(below, value, partial=partial or key == "stacks")
        else:
            merged[key] = value
    return merged


def _another_method(below: Tree, value: Tree, partial: bool) -> bool:
    if "method" not in value:
        return False
    if partial and "method" not in below:
        return True
    default = Predict().method
    return (value["method"] or default) != (below.get("method") or default)


def without_nulls(tree: Tree) -> Tree:
    """Drop explicit nulls: what is not there has its default. In `stacks` they stay, for there they set it."""
    kept: Tree = {}
    for key, value in tree.items():
        if key == "stacks" and isinstance(value, dict):
            kept[key] = {name: partial for name, partial in value.items() if partial is not None}
        elif isinstance(value, dict):
            kept[key] = without_nulls(value)
        elif value is not None:
            kept[key] = value
    return kept
