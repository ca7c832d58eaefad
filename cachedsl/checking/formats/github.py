"""Workflow commands, which GitHub shows beside the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.checking.formats._short import short_message, workspace_path
from cachedsl.checking.report import Format, Report
from cachedsl.text.finding import Finding


def render(report: Report) -> Iterator[str]:
    """Yield `::error file=...,line=...,col=...,endLine=...,endColumn=...,title=...::message`."""
    for found in report.findings():
        yield f"::{found.severity} {_properties(found)}::{_data(short_message(found))}"


def _properties(found: Finding) -> str:
    span = found.span
    values = {
        "file": workspace_path(span.file),
        "line": span.line,
        "col": span.column,
        "endLine": max(span.end_line, span.line),
        "endColumn": span.end_column,
        "title": f"cachedsl ({found.code})",
    }
    if span.end_line != span.line or span.end_column <= span.column:
        # Columns are read as those of one line, and an end before the first character is refused.
        del values["col"], values["endColumn"]
    return ",".join(f"{key}={_property(str(value))}" for key, value in values.items())


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


FORMAT = Format("github", "annotations of a GitHub workflow", render)
