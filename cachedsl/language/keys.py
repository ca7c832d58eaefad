"""What is made of the keys: JSON Schema for editors, the tables of docs/language.md, and completion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from cachedsl.language.by_name import PartsByName
from cachedsl.language.kinds import Key, Schema
from cachedsl.language.masks import KEYS, MaskKind, key_schema
from cachedsl.language.methods import METHODS
from cachedsl.language.part import Part, PartOf, declared_keys
from cachedsl.language.policy import Policy
from cachedsl.language.schemas import document, identity, object_schema
from cachedsl.language.taps import TAPS

POLICY_ID = identity("policy")


def policy_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a policy; it refuses what the loader refuses of values by themselves."""
    schema = document_schema(Policy, "policy")
    schema["description"] += " docs/language.md is the reference."
    schema["properties"]["$schema"] = {"type": "string", "description": "Where an editor of JSON finds this schema."}
    return schema


def document_schema(cls: Any, name: str) -> Schema:
    """Return the schema of a document that is one part, with a definition for every part below it."""
    parts: dict[str, Any] = {}
    _collect(cls, parts)
    return document(name, _mapping(cls), cls.PART.words, {name: part_schema(part) for name, part in parts.items()})


def _collect(cls: Any, parts: dict[str, Any]) -> None:
    for declared in declared_keys(cls).values():
        for inner in declared.kind.parts():
            name = inner.__name__.lower()
            if name not in parts:
                parts[name] = inner
                _collect(inner, parts)


def part_schema(cls: Any) -> Schema:
    """Return the schema of a part: its shorthands, or the mapping of its keys."""
    part: Part = cls.PART
    described = {"title": part.expected, "description": part.words}
    if not part.short:
        return {**_mapping(cls), **described}
    return {**described, "oneOf": [*(short.kind.schema() for short in part.short), _mapping(cls)]}


def _mapping(cls: Any) -> Schema:
    keys = declared_keys(cls)
    required = [name for name, declared in keys.items() if declared.required]
    return object_schema({name: _property(one) for name, one in keys.items()}, required, cls.PART.expected)


def _property(declared: Key) -> Schema:
    if not isinstance(declared.kind, PartOf):
        return key_schema(declared)
    schema = declared.kind.schema()
    schema = schema if declared.required else {"oneOf": [{"type": "null"}, schema]}
    return {**schema, "description": declared.words}


@frozen
class Entry:
    """One key as the reference shows it.

    Attributes:
        path: dotted, as in `reuse.threshold`.
        kind: what it may hold, in words.
        default: in words.
        words: what it means.
        values: the words that it may be, for completion.
    """

    path: str
    kind: str
    default: str
    words: str
    values: tuple[str, ...] = ()


def entries(cls: Any = Policy, path: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yield every key of the language, those of other packages among them, in the order of the reference."""
    for name, declared in declared_keys(cls).items():
        here = (*path, name)
        yield _entry(here, declared)
        if isinstance(declared.kind, PartOf):
            yield from entries(declared.kind.cls, here)
        elif isinstance(declared.kind, PartsByName):
            yield from entries(declared.kind.cls, (*here, declared.kind.entry))
        elif isinstance(declared.kind, MaskKind):
            yield from (_entry((*here, inner), one.metadata["key"], "") for inner, one in KEYS.items())


def _entry(path: tuple[str, ...], declared: Key, required: str = "required") -> Entry:
    kind: Any = declared.kind
    expected = getattr(kind, "expected", kind.title)
    default = required if declared.required and declared.shown is None else default_words(declared)
    return Entry(".".join(path), expected, default, declared.words, tuple(getattr(kind, "words", ())))


def default_words(declared: Key) -> str:
    """Return a key's default, in words and Markdown."""
    if declared.shown is not None:
        return declared.shown
    value = declared.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(f'{item:g}' if isinstance(item, float) else str(item) for item in value)}]`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return '`""`' if value == "" else f"`{value}`"


def key_table() -> str:
    """Return the table of all keys, as docs/language.md has it."""
    rows = [f"| `{e.path}` | {_cell(e.kind)} | {_cell(e.default)} | {_cell(e.words)} |" for e in entries()]
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


WHEN = {
    "schedule": "before the run",
    "model_input": "before the call",
    "modulated_input": "before the call",
    "unit_input": "before the blocks",
    "front": "after the front",
}


def tap_table() -> str:
    """Return the list of taps with what their methods do, and the table of their facts."""
    ideas = [f"* `{name}`: {tap.family}. {tap.idea}".rstrip() for name, tap in TAPS.items()]
    head = [
        "| tap | what is looked at | known | reference | accumulate | parameters |",
        "|---|---|---|---|---|---|",
    ]
    rows = []
    for name, tap in TAPS.items():
        words = tap.words.replace("{front}", "the front blocks").replace(
            " of power {exponent:g}", " of power `exponent`"
        )
        reference = str(tap.defaults.get("reference", "last_computed")) if "reference" in tap.reads else "–"
        accumulate = str(tap.defaults.get("accumulate", "none"))
        cells = (words, WHEN[tap.source], reference.replace("_", " "), accumulate.replace("_", " "))
        parameters = ", ".join(f"`{one}`" for one in tap.parameters)
        rows.append(f"| `{name}` | {' | '.join(map(_cell, cells))} | {parameters} |")
    return "\n".join([*ideas, "", *head, *rows]) + "\n"


def method_table() -> str:
    """Return the list of methods with what they do, and the table of their facts."""
    ideas = [f"* `{name}`: {method.idea}" for name, method in METHODS.items()]
    head = ["| method | parameters | k steps after the last computed one | exact on |", "|---|---|---|---|"]
    rows = []
    for name, method in METHODS.items():
        parameters = ", ".join(f"`{one}`" for one in method.parameters)
        rows.append(f"| `{name}` | {parameters} | {_cell(method.formula)} | {_cell(method.exact_on)} |")
    return "\n".join([*ideas, "", *head, *rows]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
