"""How often each rule found something."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from cachedsl.checking.report import Report

FORMATS = ("full", "concise", "json", "json-lines")
"""Formats that have a way to say how often something was found."""


def statistics(report: Report, form: str) -> Iterator[str]:
    """Yield a line for each rule that found something, the most frequent first; as JSON where the format is that.

    `[*]` marks those that `--fix` mends, `[-]` those that `--unsafe-fixes` does.
    """
    found = list(report.findings())
    counts = Counter(one.code for one in found)
    rules = {one.code: one.rule for one in found}
    fixes: dict[str, str] = {}
    for one in found:
        if one.fix is not None:
            fixes[one.code] = "safe" if one.fix.safe or fixes.get(one.code) == "safe" else "unsafe"
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    if form in ("json", "json-lines"):
        tree = [
            {
                "code": code,
                "count": count,
                "category": rules[code].category,
                "severity": rules[code].severity,
                "summary": rules[code].summary,
                "fix": fixes.get(code),
                "url": rules[code].url,
            }
            for code, count in rows
        ]
        yield from [json.dumps(tree, indent=2)] if form == "json" else map(json.dumps, tree)
        return
    width = len(str(rows[0][1])) if rows else 0
    longest = max((len(code) for code in counts), default=0)
    marks = {"safe": "[*]", "unsafe": "[-]", None: "[ ]"}
    for code, count in rows:
        yield f"{count:>{width}}  {code:<{longest}}  {marks[fixes.get(code)]}  {rules[code].summary}"
