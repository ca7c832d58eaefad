"""JSON Schema documents: how they are put together, and in which dialects they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cachedsl.language.kinds import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
HOME = "https://cachedsl.dev/schemas/"
SUFFIX = ".cachedsl"
"""Before `.yaml`, it tells editors and people what a file is."""
ENDINGS = {
    "policy": (f"{SUFFIX}.yaml", f"{SUFFIX}.yml"),
    "adapter": (f"{SUFFIX}-adapter.yaml", f"{SUFFIX}-adapter.yml"),
}
"""Of the names of files that are ours, whatever they hold."""


def identity(name: str, folder: str = "") -> str:
    """Return the address of a published schema."""
    return f"{HOME}{folder}{name}.schema.json"


def object_schema(properties: Mapping[str, Schema], required: Iterable[str] = (), title: str | None = None) -> Schema:
    """Return the schema of a mapping that has these keys, and no others."""
    schema: Schema = {"type": "object"}
    if title is not None:
        schema["title"] = title
    schema["additionalProperties"] = False
    names = list(required)
    if names:
        schema["required"] = names
    return {**schema, "properties": dict(properties)}


def document(name: str, root: Schema, words: str, definitions: Mapping[str, Schema]) -> Schema:
    """Return the whole schema of one kind of document."""
    return {"$schema": DIALECT, "$id": identity(name), **root, "description": words, "$defs": dict(definitions)}


def draft_07(schema: Schema) -> Schema:
    """Return a document's schema in draft-07, which more editors know; it accepts and refuses the same.

    Raises:
        ValueError: the schema has a keyword that is not known to have the same meaning in draft-07.
    """
    made = {name: value for name, value in _draft_07(schema).items() if name not in ("$schema", "$id")}
    address = str(schema["$id"]).replace(HOME, f"{HOME}draft-07/")
    return {"$schema": "http://json-schema.org/draft-07/schema#", "$id": address, **made}


def catalogue() -> Schema:
    """Return the entries that SchemaStore's catalogue is to have: which files an editor takes for ours, by their names.

    The names are ours alone: `policies/*.yaml` may be anybody's.
    """
    said = {
        "adapter": "Where a diffusion transformer keeps its blocks, for cachedsl",
        "policy": "When a diffusion transformer's blocks are run or reused, for cachedsl",
    }
    schemas = [
        {
            "name": f"cachedsl {kind}",
            "description": words,
            "fileMatch": [f"*{ending}" for ending in ENDINGS[kind]],
            "url": identity(kind, "draft-07/"),
        }
        for kind, words in said.items()
    ]
    return {"$schema": "https://json.schemastore.org/schema-catalog.json", "version": 1, "schemas": schemas}


def _as_in_2020(schema: Schema) -> Schema:
    return schema


DIALECTS: dict[str, Callable[[Schema], Schema]] = {"2020-12": _as_in_2020, "draft-07": draft_07}

_ONE = {"additionalProperties", "propertyNames"}
_SAME = {
    *("$id", "$ref", "$schema", "title", "description", "default", "examples", "format"),
    *("type", "enum", "const", "required"),
    *("minimum", "exclusiveMinimum", "maximum", "minLength", "pattern", "minItems", "maxItems", "uniqueItems"),
    *("minProperties", "maxProperties"),
}


def _draft_07(schema: Any) -> Any:
    if isinstance(schema, bool):
        return schema
    made: Schema = {}
    for name, value in schema.items():
        if name == "$ref" and len(schema) > 1:  # draft-07 looks at nothing beside a $ref
            made["allOf"] = [{"$ref": _reference(value)}]
        elif name == "$ref":
            made[name] = _reference(value)
        elif name in ("$defs", "properties"):
            known = {key: _draft_07(inner) for key, inner in value.items()}
            made["definitions" if name == "$defs" else name] = known
        elif name == "prefixItems":
            made["items"] = [_draft_07(inner) for inner in value]
        elif name == "items":
            made["additionalItems" if "prefixItems" in schema else "items"] = _draft_07(value)
        elif name in ("oneOf", "anyOf"):
            made[name] = [_draft_07(inner) for inner in value]
        elif name in _ONE:
            made[name] = _draft_07(value)
        elif name in _SAME:
            made[name] = value
        else:
            raise ValueError(f"{name} is not known to mean the same in draft-07")
    return made


def _reference(address: str) -> str:
    return address.replace("#/$defs/", "#/definitions/")
