"""A code quality report, which GitLab shows in a merge request."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256

from cachedsl.checking.formats._short import short_message, workspace_path
from cachedsl.checking.report import Format, Report

SEVERITIES = {"error": "major", "warning": "minor"}


def render(report: Report) -> Iterator[str]:
    """Yield a list of issues; a fingerprint stays the same while the file, the rule and the message do."""
    seen: Counter[str] = Counter()
    issues = []
    for found in report.findings():
        path = workspace_path(found.span.file)
        print_ = f"{path}\0{found.code}\0{found.message}"
        seen[print_] += 1
        issues.append(
            {
                "description": short_message(found),
                "check_name": found.code,
                "fingerprint": sha256(f"{print_}\0{seen[print_]}".encode("utf-8", "surrogatepass")).hexdigest(),
                "severity": SEVERITIES[found.severity],
                "location": {
                    "path": path,
                    "lines": {"begin": found.span.line, "end": max(found.span.end_line, found.span.line)},
                },
            }
        )
    yield json.dumps(issues, indent=2)


FORMAT = Format("gitlab", "a GitLab code quality report", render)
