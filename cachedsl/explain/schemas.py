"""The JSON Schemas of what cachedsl writes: plans and traces."""

from __future__ import annotations

from cachedsl.language.kinds import Schema
from cachedsl.language.records import Records
from cachedsl.language.schemas import document, object_schema
from cachedsl.plan.codec import WrittenPlan
from cachedsl.trace import KINDS, NOT_FINITE


def plan_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a plan; it refuses what `Plan.from_json` refuses of each key by itself."""
    records = Records()
    root = records.mapping(WrittenPlan)
    return document("plan", root, f"{root['description']} docs/machine.md is the reference.", records.definitions)


def trace_schema() -> Schema:
    """Return the JSON Schema (2020-12) of one line of a trace, which is JSON Lines."""
    number: Schema = {
        "oneOf": [{"type": "number"}, {"enum": list(NOT_FINITE)}],
        "title": "a number, or a word for what JSON has no number for",
    }
    records = Records({float: number})
    for name, cls in KINDS.items():
        made = records.mapping(cls)
        kind: Schema = {"const": name, "description": "Which record it is."}
        whole = object_schema({"kind": kind, **made["properties"]}, ["kind", *made["required"]])
        records.definitions[name] = {**whole, "description": made["description"]}
    root: Schema = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in KINDS]}
    words = "One line of a trace, which is JSON Lines: the head of a run, a step, or a warning."
    return document("trace", root, words, records.definitions)
