"""A polynomial that lies above the threshold where nothing has moved."""

from __future__ import annotations

from cachedsl.rules.asking import said, threshold_of
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "rescale-offset",
    "meaning",
    "a polynomial that is above the threshold even if nothing has moved",
    severity="warning",
    why="The last coefficient is the polynomial's value at 0. If it is not below the threshold, a step is "
    "computed even if its signal did not move at all. Usually the coefficients are written lowest degree "
    "first, or belong to another threshold.",
    bad="reuse: {threshold: 0.1, signal: {tap: residual, rescale: [0.02, 1.5]}}",
    good="reuse: {threshold: 0.1, signal: {tap: residual, rescale: [1.5, 0.02]}}",
    category="performance",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        signal, threshold = scope.meant.signal, threshold_of(scope.meant)
        if signal is None or signal.rescale is None or threshold is None or said(scope.tree, "reuse") is None:
            continue
        if signal.rescale[-1] >= threshold:
            message = (
                f"reuse.signal.rescale: the polynomial is {signal.rescale[-1]:g} where nothing moved, which is not "
                f"below the threshold {threshold:g}"
            )
            hint = "coefficients are written highest degree first; else raise the threshold"
            yield RULE.finding(message, context.span(*scope.path, "reuse", "signal", "rescale"), hint)


CHECKS = (Check(RULE, check),)
