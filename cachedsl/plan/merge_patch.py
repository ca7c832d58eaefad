"""JSON merge patches (RFC 7386): what one tree changes in another. A null of a patch takes the key out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def patch_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch that makes `new` of `old`; neither tree holds a null."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            inner = patch_between(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or not _same(before, value):
            patch[key] = value
    return patch


def patched(old: Any, patch: Any) -> Any:
    """Return `old` with `patch` laid over it."""
    if not isinstance(patch, Mapping):
        return patch
    tree = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            tree.pop(key, None)
        else:
            tree[key] = patched(tree.get(key), value)
    return tree


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are written alike: `1`, `1.0` and `true` are not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)
