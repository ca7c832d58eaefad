"""What is made of an adapter's keys: JSON Schema for editors, and the tables of docs/models.md."""

from __future__ import annotations

from cachedsl.language.keys import document_schema, entries
from cachedsl.language.kinds import Schema
from cachedsl.matching.adapter import Adapter


def adapter_schema() -> Schema:
    """Return the JSON Schema (2020-12) of an adapter; it refuses what the loader refuses, of each key by itself."""
    return document_schema(Adapter, "adapter")


def key_table(cls: type) -> str:
    """Return the table of a part's keys, as docs/models.md has it."""
    rows = [f"| `{one.path}` | {one.kind} | {one.default} | {one.words} |" for one in entries(cls)]
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"
