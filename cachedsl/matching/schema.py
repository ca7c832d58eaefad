"""The JSON Schema of an adapter, for editors; `schemas/adapter.schema.json` is what this makes."""

from __future__ import annotations

from cachedsl.language.keys import document_schema
from cachedsl.language.kinds import Schema
from cachedsl.matching.adapter import Adapter

ADAPTER_ID = "https://cachedsl.dev/schemas/adapter.schema.json"


def adapter_schema() -> Schema:
    """Return the JSON Schema (2020-12) of an adapter; it refuses what the loader refuses, of each key by itself."""
    return document_schema(Adapter, ADAPTER_ID)
