"""Plain data that cannot change: hashable trees of mappings, tuples and scalars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Frozen(Mapping[str, Any]):
    """A mapping that cannot change, hashable where its values are; equal to any mapping of equal entries."""

    __slots__ = ("_entries", "_hash")

    def __init__(self, entries: Mapping[str, Any] | None = None, **more: Any) -> None:
        self._entries = {key: freeze(value) for key, value in {**(entries or {}), **more}.items()}
        self._hash: int | None = None

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._entries.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Mapping) else NotImplemented

    def __repr__(self) -> str:
        return repr(self._entries)

    def __reduce__(self) -> tuple[type[Frozen], tuple[dict[str, Any]]]:
        return Frozen, (dict(self._entries),)


def freeze(value: Any) -> Any:
    """Return `value` with `Frozen` for every mapping and a tuple for every list."""
    if isinstance(value, Frozen):
        return value
    if isinstance(value, Mapping):
        return Frozen(value)
    return tuple(freeze(item) for item in value) if isinstance(value, (list, tuple)) else value


def thaw(value: Any) -> Any:
    """Return `value` with a dict for every mapping and a list for every tuple, as JSON and YAML have them."""
    if isinstance(value, Mapping):
        return {key: thaw(inner) for key, inner in value.items()}
    return [thaw(item) for item in value] if isinstance(value, (list, tuple)) else value
