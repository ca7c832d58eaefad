"""What a key of an adapter may hold, besides what a policy's may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from cachedsl.language.kinds import Kind, ListOf, Schema, Text, Whole, Word, read_value
from cachedsl.language.misfit import Misfit, Misfits, collected
from cachedsl.language.refusals import nearest
from cachedsl.plan.frozen import Frozen

CONTROL = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_OTHER = r"\u0000-/:-@\[-\^`{-\u00a0\u2028\u2029"
"""Of ASCII and what is no letter beside it, all but letters, digits and the underscore."""


@frozen
class Choice(Word):
    """One of a few words; the nearest is named where it is none."""

    def read(self, value: Any) -> str:
        try:
            return super().read(value)
        except Misfit as misfit:
            near = nearest(value.lower(), self.words) if isinstance(value, str) else None
            misfit.hint = f"did you mean `{near}`?" if near else None
            raise


@frozen
class Count(Whole):
    """A whole number, and what to do where it is none."""

    title: str = "a whole number of at least 1"
    least: int = 1
    hint: str = "leave it out where it is not known"

    def read(self, value: Any) -> int:
        try:
            return super().read(value)
        except Misfit as misfit:
            misfit.hint = self.hint
            raise


@frozen
class MapOf(Kind):
    """A mapping of names to `items`; it is read as one that cannot change.

    Attributes:
        names: what a name may be.
        least: how many there must be: one, or none.
        hint: what to do where there is none.
    """

    title: str
    names: Text
    items: Kind
    least: int = 0
    hint: str | None = None

    def read(self, value: Any) -> Frozen:
        if not isinstance(value, Mapping):
            raise Misfit(self.title, value)
        if len(value) < self.least:
            message = f"expected {self.title}, at least one, got an empty one"
            raise Misfit(self.title, value, message=message, hint=self.hint)
        found: list[Misfit] = []
        read = {}
        for name, item in value.items():
            try:
                self.names.read(name)
            except Misfit as misfit:
                found.append(Misfit(misfit.expected, name, hint=misfit.hint, key=str(name)))
                continue
            with collected(found, name):
                read[name] = read_value(self.items, item)
        if found:
            raise Misfits(found)
        return Frozen(read)

    def write(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.items.write(item) for name, item in value.items()}

    def parts(self) -> tuple[Any, ...]:
        return self.items.parts()

    def schema(self) -> Schema:
        schema: Schema = {"type": "object", "title": self.title}
        if self.least:
            schema["minProperties"] = self.least
        return {**schema, "propertyNames": self.names.schema(), "additionalProperties": self.items.schema()}


def _name_of(value: Any) -> str | None:
    return f"write {value.__name__!r}" if isinstance(value, type) else None


def named(title: str) -> Text:
    """Return the kind of a name: a text on one line, not empty."""
    return Text(title, f"^[^{CONTROL}]+$", hint=_name_of)


ARGUMENT = Text("the name of an argument", f"^[^0-9{_OTHER}][^{_OTHER}]*$")
"""Letters of every script, as Python has them."""

LIST = Text("the attribute path of a block list", rf"^[^\s.{CONTROL}]+(\.[^\s.{CONTROL}]+)*$")
LAYER = Text("the path of a layer", LIST.pattern)
LAYERS = ListOf("a list of layers' paths", LAYER)
MODULE = Text("the path of a module in the block", rf"^([^\s.{CONTROL}]+(\.[^\s.{CONTROL}]+)*)?$")
