"""A token floor that is not below the threshold."""

from __future__ import annotations

from cachedsl.rules.asking import said, threshold_of
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "floor-above-threshold",
    "meaning",
    "a token floor that is as high as the threshold, or higher",
    severity="warning",
    why="With `token_floor`, only tokens that moved by more than the floor are compared. So the result is "
    "above the floor as well, and above the threshold. One moving token is enough to compute the step.",
    bad="reuse: {threshold: 0.1, signal: {tap: residual, token_floor: 0.2}}",
    good="reuse: {threshold: 0.1, signal: {tap: residual, token_floor: 0.02}}",
    category="performance",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        signal, threshold = scope.meant.signal, threshold_of(scope.meant)
        if signal is None or threshold is None or said(scope.tree, "reuse", "signal", "token_floor") is None:
            continue
        if signal.token_floor >= threshold > 0 and signal.rescale is None and signal.metric == "relative_l1":
            message = (
                f"reuse.signal.token_floor: {signal.token_floor:g} is not below the threshold {threshold:g}, so one "
                "token above it computes the step"
            )
            path = (*scope.path, "reuse", "signal", "token_floor")
            yield RULE.finding(message, context.span(*path), "take a floor well below the threshold")


CHECKS = (Check(RULE, check),)
