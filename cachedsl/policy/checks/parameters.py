"""A predictor's parameter without an effect is an error: a key that does nothing misleads its reader."""

from __future__ import annotations

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject


def check(subject: Subject) -> Findings:
    for path, tree, meant in subject.scopes():
        written = tree.get("predict") or {}
        if written.get("order") is not None and meant.predict.method == "copy":
            yield Diagnostic(
                "no-effect",
                f"predict.order: `copy` has no order, so {written['order']} has no effect",
                subject.span(*path, "predict", "order"),
                "use `method: taylor`, or leave `order` out",
            )
