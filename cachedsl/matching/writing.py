"""Write an adapter as YAML that loads as an equal one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cachedsl.language.part import keys_of
from cachedsl.text.scalars import written


def to_yaml(part: Any) -> str:
    """Return a part as YAML: mappings one key a line, lists in brackets; what is as by default is left out."""
    return "".join(f"{line}\n" for line in _lines(_lean(part)))


def _lean(value: Any) -> Any:
    """Return a value as a tree of dicts, lists and scalars, its parts without what is as by default."""
    if hasattr(type(value), "PART"):
        keys = {name: (getattr(value, one.name), one.default) for name, one in keys_of(type(value)).items()}
        return {name: _lean(said) for name, (said, default) in keys.items() if said != default}
    if isinstance(value, Mapping):
        return {name: _lean(inner) for name, inner in value.items()}
    return [_lean(item) for item in value] if isinstance(value, tuple) else value


def _lines(tree: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{written(name)}:"
            yield from _lines(value, f"{indent}  ")
        else:
            yield f"{indent}{written(name)}: {written(value)}"
