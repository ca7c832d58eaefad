"""A signal that exists only after the front blocks needs a front block."""

from __future__ import annotations

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject


def check(subject: Subject) -> Findings:
    inherited = False
    for path, tree, meant in subject.scopes():
        lacks = meant.compute.front == 0 and meant.needs_front
        if lacks and not (inherited and "compute" not in tree):
            yield Diagnostic(
                "signal-needs-front",
                f"compute: signal `{meant.reuse.signal}` is measured after the front blocks, but F0 has none",
                subject.span(*path, "compute"),
                "compute at least F1, or reuse without measuring (`threshold: always`)",
            )
        inherited = inherited or (not path and lacks)
