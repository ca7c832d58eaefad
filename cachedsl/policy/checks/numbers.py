"""Bounds stand in their order; that a number is finite, and within its own bounds, is a matter of shape."""

from __future__ import annotations

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject


def check(subject: Subject) -> Findings:
    for path, tree, _ in subject.scopes():
        low, high = (tree.get("predict") or {}).get("clip") or (0, 0)
        if not low <= high:
            message = f"predict.clip: expected the lower bound first, got `{low}` and `{high}`"
            yield Diagnostic("clip-order", message, subject.span(*path, "predict", "clip"))
