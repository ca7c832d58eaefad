"""A signal, or a predictor, that goes by the front blocks needs a front block."""

from __future__ import annotations

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject
from cachedsl.policy.parts import StackPolicy


def check(subject: Subject) -> Findings:
    inherited = False
    for path, tree, meant in subject.scopes():
        lacks = meant.compute.front == 0 and meant.needs_front
        if lacks and not (inherited and "compute" not in tree):
            message, hint = needs_front(meant)
            yield Diagnostic(
                "signal-needs-front", f"compute: {message}, but F0 has none", subject.span(*path, "compute"), hint
            )
        inherited = inherited or (not path and lacks)


def needs_front(meant: StackPolicy) -> tuple[str, str]:
    """Return what of a policy goes by the front blocks, and the way out where there are none."""
    if meant.signal is not None and meant.signal.after_front:
        return (
            f"signal `{meant.signal.tap}` is measured after the front blocks",
            "compute at least F1, take a signal that is there before (`block_input`, `modulated_input`, ...), or "
            "reuse without measuring (`threshold: always`)",
        )
    return "`probe_gain` goes by the movement of the front blocks", "compute at least F1, or take another predictor"
