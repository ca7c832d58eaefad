"""A signal that exists only after the front blocks needs a front block."""

from __future__ import annotations

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject


def check(subject: Subject) -> Findings:
    for path, _, meant in subject.scopes():
        if meant.compute.front == 0 and meant.measures:
            yield Diagnostic(
                "signal-needs-front",
                f"compute: signal `{meant.reuse.signal}` is measured after the front blocks, but F0 has none",
                subject.span(*path, "compute"),
                "compute at least F1, or reuse without measuring (`threshold: always`)",
            )
