"""One JSON object a line, a finding each; schemas/check.schema.json has it under `$defs/finding`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cachedsl.checking.formats._tree import VERSION, finding_tree
from cachedsl.checking.report import Format, Report
from cachedsl.checking.statistics import as_json_lines


def render(report: Report) -> Iterator[str]:
    """Yield a line for each finding, with the version of the format."""
    for found in report.findings():
        yield json.dumps({"version": VERSION, **finding_tree(report, found)}, ensure_ascii=True)


FORMAT = Format("json-lines", "one JSON object a finding and line", render, counts=as_json_lines)
