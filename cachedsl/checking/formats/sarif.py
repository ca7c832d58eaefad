"""SARIF 2.1.0, which code scanning services read (OASIS, Static Analysis Results Interchange Format)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from cachedsl import __version__
from cachedsl.checking.formats._short import workspace_path
from cachedsl.checking.formats._tree import edit_place
from cachedsl.checking.report import Format, Report
from cachedsl.text.finding import RULES_URL, Finding, Fix, Rule, Span
from cachedsl.text.tree import Document

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(report: Report) -> Iterator[str]:
    """Yield one log with one run. Columns count Unicode characters, as SARIF says with `columnKind`."""
    index = {rule.code: number for number, rule in enumerate(report.rules)}
    run = {
        "tool": {
            "driver": {
                "name": "cachedsl",
                "version": __version__,
                "informationUri": RULES_URL,
                "rules": [_rule(rule) for rule in report.rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(report, found, index) for found in report.findings()],
    }
    yield json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\n\nBad:\n{rule.bad}\n\nGood:\n{rule.good}"},
        "helpUri": rule.url,
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"tags": [rule.category, rule.stage]},
    }


def _result(report: Report, found: Finding, index: dict[str, int]) -> dict[str, Any]:
    document = report.document(found.span.file)
    words = f"{found.message} ({found.hint})" if found.hint else found.message
    mark = f"{workspace_path(found.span.file)}\0{found.code}\0{found.message}"
    result: dict[str, Any] = {
        "ruleId": found.code,
        "level": found.severity,
        "message": {"text": words},
        "locations": [{"physicalLocation": _physical(found.span)}],
        "partialFingerprints": {"finding/v1": sha256(mark.encode("utf-8", "surrogatepass")).hexdigest()},
    }
    if found.code in index:
        result["ruleIndex"] = index[found.code]
    if found.related:
        result["relatedLocations"] = [
            {"id": number, "message": {"text": one.message}, "physicalLocation": _physical(one.span)}
            for number, one in enumerate(found.related, 1)
        ]
    if found.fix is not None and document is not None:
        result["fixes"] = [_fix(found.fix, document)]
    return result


def _fix(fix: Fix, document: Document) -> dict[str, Any]:
    replacements = [
        {"deletedRegion": _region(edit_place(document, edit)), "insertedContent": {"text": edit.text}}
        for edit in fix.edits
    ]
    changes = [{"artifactLocation": _artifact(document.file), "replacements": replacements}]
    return {"description": {"text": fix.title}, "artifactChanges": changes}


def _physical(span: Span) -> dict[str, Any]:
    return {"artifactLocation": _artifact(span.file), "region": _region(span)}


def _artifact(file: str) -> dict[str, str]:
    path = workspace_path(file)
    uri = quote(os.fsencode(path))  # a name need not be UTF-8
    return {"uri": f"file://{uri}" if path.startswith("/") else uri}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
        "charOffset": span.start,
        "charLength": span.end - span.start,
    }


FORMAT = Format("sarif", "SARIF 2.1.0, for code scanning", render)
