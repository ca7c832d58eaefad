"""Reviewdog's diagnostic format, as one JSON object.

Its positions count bytes of UTF-8, not characters; suggestions are the fixes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cachedsl.checking.formats._short import workspace_path
from cachedsl.checking.formats._tree import edit_place
from cachedsl.checking.report import Format, Report
from cachedsl.text.edit import apply_edits
from cachedsl.text.finding import RULES_URL, Edit, Finding, Fix, Span
from cachedsl.text.tree import Document


def render(report: Report) -> Iterator[str]:
    """Yield the object."""
    tree = {
        "source": {"name": "cachedsl", "url": RULES_URL},
        "diagnostics": [_diagnostic(report, found) for found in report.findings()],
    }
    yield json.dumps(tree, indent=2)


def _diagnostic(report: Report, found: Finding) -> dict[str, Any]:
    document = report.document(found.span.file)
    tree: dict[str, Any] = {
        "message": f"{found.message} ({found.hint})" if found.hint else found.message,
        "location": {"path": workspace_path(found.span.file), "range": _range(found.span, document)},
        "severity": found.severity.upper(),
        "code": {"value": found.code, "url": found.rule.url},
        "related_locations": [
            {
                "message": one.message,
                "location": {
                    "path": workspace_path(one.span.file),
                    "range": _range(one.span, report.document(one.span.file)),
                },
            }
            for one in found.related
        ],
    }
    if found.fix is not None and document is not None:
        tree["suggestions"] = [_suggestion(found.fix, document)]
    return tree


def _suggestion(fix: Fix, document: Document) -> dict[str, Any]:
    """Return a fix as one change; several suggestions would be taken for alternatives."""
    whole = Edit(min(edit.start for edit in fix.edits), max(edit.end for edit in fix.edits), "")
    changed = apply_edits(document.text, fix.edits)
    text = changed[whole.start : len(changed) - (len(document.text) - whole.end)]
    return {"range": _range(edit_place(document, whole), document), "text": text}


def _range(span: Span, document: Document | None) -> dict[str, Any]:
    return {
        "start": {"line": span.line, "column": _bytes(document, span.start, span.column)},
        "end": {"line": span.end_line, "column": _bytes(document, span.end, span.end_column)},
    }


def _bytes(document: Document | None, offset: int, column: int) -> int:
    """Return a column as bytes of UTF-8 from the line's begin, counted from 1."""
    if document is None or not document.text:
        return column
    begin = document.lines.begin(offset)
    return len(document.text[begin:offset].encode("utf-8", "surrogatepass")) + 1


FORMAT = Format("rdjson", "reviewdog's diagnostics", render)
