"""A kind that is a mapping of names to parts of one class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from cachedsl.language.kinds import Kind, Schema, Text
from cachedsl.language.misfit import Misfit, Misfits, collected
from cachedsl.language.part import part_of, short_form, tree_of

NAMES = Text("a name", least=1)


@frozen
class PartsByName(Kind):
    """A mapping of names to parts of one class, kept as pairs in the order that they were written in.

    Attributes:
        cls: of the parts.
        names: what a name may be.
        entry: what stands for the name in the key table.
        most: how many there may be.
    """

    title: str
    cls: Any = None
    names: Text = NAMES
    entry: str = "NAME"
    most: int = 64

    def read(self, value: Any) -> tuple[tuple[str, Any], ...]:
        value = dict(value) if isinstance(value, tuple) else value
        if not isinstance(value, Mapping):
            raise Misfit(self.title, value)
        if len(value) > self.most:
            raise Misfit(f"at most {self.most} entries", value)
        read: list[tuple[str, Any]] = []
        found: list[Misfit] = []
        for name, inner in value.items():
            try:
                self.names.read(name)
            except Misfit:
                found.append(Misfit(self.names.title, name, key=str(name)))
                continue
            if inner is None:
                continue
            with collected(found, name):
                read.append((name, part_of(self.cls).read(inner)))
        if found:
            raise Misfits(found)
        return tuple(read)

    def write(self, value: Any) -> Any:
        return {name: short_form(self.cls, tree_of(part)) for name, part in value}

    def parts(self) -> tuple[Any, ...]:
        return (self.cls,)

    def longhand(self, value: Any) -> Any:
        one = part_of(self.cls)
        return {name: one.longhand(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value

    def shorthand(self, value: Any) -> Any:
        one = part_of(self.cls)
        return {name: one.shorthand(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value

    def schema(self) -> Schema:
        return {
            "type": "object",
            "title": self.title,
            "maxProperties": self.most,
            "propertyNames": {"pattern": self.names.pattern, "title": self.names.title},
            "additionalProperties": {"oneOf": [{"type": "null"}, part_of(self.cls).schema()]},
        }
