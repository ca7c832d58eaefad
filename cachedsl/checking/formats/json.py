"""One JSON object for the whole call; schemas/check.schema.json says what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cachedsl import __version__
from cachedsl.checking.formats._tree import VERSION, finding_tree
from cachedsl.checking.report import Format, Report
from cachedsl.checking.statistics import as_json

SCHEMA = "https://cachedsl.dev/schemas/check.schema.json"


def render(report: Report) -> Iterator[str]:
    """Yield the object, indented by two."""
    counts = report.counts
    tree = {
        "$schema": SCHEMA,
        "version": VERSION,
        "tool": {"name": "cachedsl", "version": __version__},
        "files": [{"file": one.file, "kind": one.kind} for one in report.checked],
        "summary": {"errors": counts["error"], "warnings": counts["warning"], "fixed": sum(report.fixed.values())},
        "findings": [finding_tree(report, found) for found in report.findings()],
    }
    yield json.dumps(tree, indent=2, ensure_ascii=True)


FORMAT = Format("json", "one JSON object", render, counts=as_json)
