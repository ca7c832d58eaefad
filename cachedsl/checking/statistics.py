"""How often each rule found something, and the ways to write that."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from attrs import frozen

from cachedsl.checking.report import Report
from cachedsl.text.finding import Rule

MARKS = {"safe": "[*]", "unsafe": "[-]", None: "[ ]"}


@frozen
class _Counted:
    """One rule, how often it found something, and whether one of its findings has a fix, and which kind."""

    rule: Rule
    count: int
    fix: Literal["safe", "unsafe"] | None


def _counted(report: Report) -> list[_Counted]:
    """Return the rules that found something, the most frequent first."""
    found = list(report.findings())
    rules = {one.code: one.rule for one in found}
    fixes: dict[str, Literal["safe", "unsafe"]] = {}
    for one in found:
        if one.fix is not None:
            fixes[one.code] = "safe" if one.fix.safe or fixes.get(one.code) == "safe" else "unsafe"
    counts = sorted(Counter(one.code for one in found).items(), key=lambda row: (-row[1], row[0]))
    return [_Counted(rules[code], count, fixes.get(code)) for code, count in counts]


def as_lines(report: Report) -> Iterator[str]:
    """Yield a line for each rule; `[*]` marks those that `--fix` mends, `[-]` those that `--unsafe-fixes` does."""
    counted = _counted(report)
    width = len(str(counted[0].count)) if counted else 0
    longest = max((len(one.rule.code) for one in counted), default=0)
    for one in counted:
        yield f"{one.count:>{width}}  {one.rule.code:<{longest}}  {MARKS[one.fix]}  {one.rule.summary}"


def as_json(report: Report) -> Iterator[str]:
    """Yield one list, indented by two."""
    yield json.dumps([*map(_tree, _counted(report))], indent=2)


def as_json_lines(report: Report) -> Iterator[str]:
    """Yield an object for each rule."""
    return map(json.dumps, map(_tree, _counted(report)))


def _tree(one: _Counted) -> dict[str, Any]:
    rule = one.rule
    return {
        "code": rule.code,
        "count": one.count,
        "category": rule.category,
        "severity": rule.severity,
        "summary": rule.summary,
        "fix": one.fix,
        "url": rule.url,
    }
