"""Check a file that holds an adapter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cachedsl.matching import reading
from cachedsl.matching.adapter import AdapterError
from cachedsl.text.finding import Finding, Rule, Span
from cachedsl.text.scalars import shortened
from cachedsl.text.tree import Document

ADAPTER = Rule(
    "adapter",
    "adapter",
    "an adapter that does not hold",
    why="An adapter says how a model's blocks are called. One that says it wrongly would be refused when a model is "
    "prepared, or would give other results.",
    bad="family: mine\ntransformers: {}",
    good="family: mine\ntransformers: {MyModel: {cfg: fused, stacks: {blocks: {pattern: hidden_only}}}}",
)


def adapter_findings(document: Document) -> tuple[Finding, ...]:
    """Return every finding of an adapter that has been read."""
    given: Callable[[Document], tuple[Finding, ...]] | None = getattr(reading, "adapter_findings", None)
    if given is not None:
        return given(document)
    if document.findings:
        return document.findings
    try:
        reading.read_adapter(document.text, document.file)
    except AdapterError as error:
        found: Any = getattr(error, "findings", None)
        return tuple(found) if found else (_of_message(str(error), document.file),)
    return ()


def _of_message(message: str, file: str) -> Finding:
    """Return a finding of a message that begins with its place, however the file is called."""
    span = Span(file)
    rest = message.removeprefix(f"{file}:")
    if place := re.match(r"(\d+):(\d+): ", rest):
        span, rest = Span(file, int(place[1]), int(place[2])), rest[place.end() :]
    return ADAPTER.finding(shortened(rest.strip(), 1000), span)
