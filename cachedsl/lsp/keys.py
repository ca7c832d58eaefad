"""The declared key at a path of a policy or an adapter, and the keys below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from cachedsl.language.kinds import Key
from cachedsl.language.masks import KEYS, MaskKind
from cachedsl.language.part import PartOf, declared_keys


@frozen
class Below:
    """What a mapping may hold: these keys, or any name, each standing for a part of `each`."""

    keys: Mapping[str, Key] | None
    each: Any = None


def below(cls: Any, path: Sequence[str]) -> Below | None:
    """Return what the mapping at `path` of a document of `cls` may hold; None where no mapping belongs."""
    here: Below | None = Below(declared_keys(cls))
    for name in path:
        if here is None:
            return None
        if here.keys is None:
            here = _inside(here.each)
            continue
        declared = here.keys.get(name)
        here = None if declared is None else _of_kind(declared.kind)
    return here


def key_at(cls: Any, path: Sequence[str]) -> Key | None:
    """Return the key that `path` names; None where it is none, or a name of the author's."""
    inside = below(cls, path[:-1]) if path else None
    return None if inside is None or inside.keys is None else inside.keys.get(path[-1])


def words_of(kind: Any) -> tuple[str, ...]:
    """Return the values that a kind takes as words: of a part, those of its shorthands too."""
    if isinstance(kind, PartOf):
        return tuple(word for short in kind.cls.PART.short for word in words_of(short.kind))
    return _in_schema(kind.schema())


def _in_schema(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words that a schema lists."""
    listed = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
    if schema.get("type") == "boolean":
        listed += [True, False]
    words = [str(one).lower() if isinstance(one, bool) else str(one) for one in listed if one is not None]
    words += [word for inner in schema.get("oneOf", ()) for word in _in_schema(inner)]
    return tuple(dict.fromkeys(words))


def _of_kind(kind: Any) -> Below | None:
    if isinstance(kind, MaskKind):
        return Below({name: one.metadata["key"] for name, one in KEYS.items()})
    if isinstance(kind, PartOf):
        return Below(declared_keys(kind.cls))
    parts = kind.parts()
    return Below(None, kind) if parts else None


def _inside(kind: Any) -> Below | None:
    """Return what stands under a name of the author's: the part, or one more level of names."""
    items = getattr(kind, "items", None)
    if items is not None and not isinstance(items, PartOf) and not callable(items):
        return _of_kind(items)
    return Below(declared_keys(kind.parts()[0]))
