"""One line a finding, as compilers write them."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.checking.report import Format, Report
from cachedsl.checking.statistics import as_lines
from cachedsl.text.scalars import clamped


def render(report: Report) -> Iterator[str]:
    """Yield `path:line:column: severity[code]: message (way out)`."""
    for found in report.shown():
        yield clamped(found.render())


FORMAT = Format("concise", "one line a finding", render, for_people=True, counts=as_lines)
