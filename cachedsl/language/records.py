"""JSON Schema of plain typed classes, as plans and traces are made of: of their annotations and their docstrings.

The schema says what `cachedsl.plan.strict` reads: every key is known, a number is a number, null only where the type
has None. Of a part of a policy it is made of its keys (`cachedsl.language.keys`).
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs
from attrs import define, field

from cachedsl.language.kinds import Schema
from cachedsl.language.schemas import object_schema
from cachedsl.plan.frozen import Frozen
from cachedsl.plan.marks import Bounds, FirstThenPatches, Matching
from cachedsl.text.docstrings import documented

_PLAIN: dict[Any, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    Frozen: {"type": "object"},
}


@define
class Records:
    """Describes classes; what they refer to is put into `definitions`.

    Attributes:
        plain: schemas of types that are read in a way of their own.
        definitions: of every class so far, and of the merge patches of one.
    """

    plain: Mapping[Any, Schema] = field(factory=dict)
    definitions: dict[str, Schema] = field(factory=dict)

    def mapping(self, cls: type, *, patch: bool = False) -> Schema:
        """Return the schema of a class, or of a merge patch (RFC 7386) of one, in which null takes a key out."""
        words, of = documented(cls)
        properties, required = {}, []
        for one in attrs.fields(attrs.resolve_types(cls)):
            schema = self.of(one.type, patch=patch)
            if one.default is attrs.NOTHING:
                required.append(one.name)
            elif patch:
                schema = _nullable(schema)
            elif type(one.default) in (bool, int, float, str):
                schema["default"] = one.default
            properties[one.name] = {**schema, "description": _sentence(of[one.name])}
        made = object_schema(properties, () if patch else required)
        said = _sentence(words)
        return {**made, "description": f"What differs from the first. {said}" if patch else said}

    def of(self, kind: Any, *, patch: bool = False) -> Schema:
        """Return the schema of a type. Raises TypeError for one that JSON has no form of."""
        origin, inner = get_origin(kind), get_args(kind)
        plain = {**_PLAIN, **self.plain}.get(kind) if origin is None else None
        if plain is not None:
            return dict(plain)
        if origin is Annotated:
            return self._marked(kind, patch)
        if origin is Literal:
            return {"const": inner[0]} if len(inner) == 1 else {"enum": list(inner)}
        if origin in (Union, types.UnionType):
            some = [self.of(one, patch=patch) for one in inner if one is not type(None)]
            schema = some[0] if len(some) == 1 else {"oneOf": some}
            return _nullable(schema) if type(None) in inner else schema
        if origin is list or inner[1:] == (...,):
            return {"type": "array", "items": self.of(inner[0])}
        if origin is tuple:
            places = [self.of(one) for one in inner]
            counts = {"minItems": len(places), "maxItems": len(places)}
            return {"type": "array", "prefixItems": places, "items": False, **counts}
        if attrs.has(kind):
            name = f"{kind.__name__.lower()}{'_patch' * patch}"
            if name not in self.definitions:
                self.definitions[name] = {}
                self.definitions[name] = self.mapping(kind, patch=patch)
            return {"$ref": f"#/$defs/{name}"}
        raise TypeError(f"JSON has no form of {kind!r}")

    def _marked(self, kind: Any, patch: bool) -> Schema:
        inner, *marks = get_args(kind)
        for mark in marks:
            if isinstance(mark, FirstThenPatches):
                first, rest = self.of(mark.cls), self.of(mark.cls, patch=True)
                return {"type": "array", "prefixItems": [first], "items": rest}
        schema = self.of(inner, patch=patch)
        for mark in marks:
            if isinstance(mark, Bounds):
                schema["minimum"] = mark.least
                if mark.most is not None:
                    schema["maximum"] = mark.most
            elif isinstance(mark, Matching):
                schema["pattern"] = mark.pattern
        return schema


def _nullable(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), list):
        return schema
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        return {**schema, "enum": [*dict.fromkeys((*schema["enum"], None))]}
    inner = schema.get("oneOf", [schema])
    null: Schema = {"type": "null"}
    return schema if null in inner else {"oneOf": [null, *inner]}


def _sentence(text: str) -> str:
    """Return words of a docstring as JSON has them."""
    line = re.sub(r"\bNone\b", "null", text)
    return line[:1].upper() + line[1:]
