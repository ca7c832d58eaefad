"""A finding as JSON has it; schemas/check.schema.json says what the keys mean."""

from __future__ import annotations

from typing import Any

from cachedsl.checking.report import Report
from cachedsl.text.finding import Edit, Finding, Fix, Span
from cachedsl.text.tree import Document

VERSION = 1
"""Of the JSON; it changes when a reader of the old one could no longer read it."""


def finding_tree(report: Report, found: Finding) -> dict[str, Any]:
    """Return a finding as plain values."""
    document = report.document(found.span.file)
    return {
        "code": found.code,
        "severity": found.severity,
        "category": found.rule.category,
        "stage": found.rule.stage,
        "message": found.message,
        "hint": found.hint,
        "url": found.rule.url,
        **_place(found.span),
        "related": [{"message": related.message, **_place(related.span)} for related in found.related],
        "fix": None if found.fix is None or document is None else _fix(found.fix, document),
    }


def edit_place(document: Document, edit: Edit) -> Span:
    """Return the place that an edit changes."""
    return document.span(edit.start, edit.end)


def _place(span: Span) -> dict[str, Any]:
    return {"file": span.file, **_range(span)}


def _range(span: Span) -> dict[str, Any]:
    return {
        "start": {"line": span.line, "column": span.column, "offset": span.start},
        "end": {"line": span.end_line, "column": span.end_column, "offset": span.end},
    }


def _fix(fix: Fix, document: Document) -> dict[str, Any]:
    edits = [{**_range(edit_place(document, edit)), "text": edit.text} for edit in fix.edits]
    return {"title": fix.title, "safe": fix.safe, "edits": edits}
