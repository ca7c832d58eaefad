"""A warmup interval that changes nothing."""

from __future__ import annotations

from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "idle-interval",
    "meaning",
    "a warmup interval that changes nothing",
    severity="warning",
    why="The first step is always computed, and then every k-th step of the warmup. If the interval is as long "
    "as the warmup, only the first step is forced, as with `warmup: 1`.",
    bad="warmup: {steps: 4, interval: 4}",
    good="warmup: {steps: 4, interval: 2}",
    category="suspicious",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        steps, interval = scope.meant.warmup.steps, scope.meant.warmup.interval
        if said(scope.tree, "warmup", "interval") is None or interval == 1 or not isinstance(steps, int):
            continue
        if interval >= steps:
            message = (
                f"warmup.interval: an interval of {interval} in a warmup of {steps} forces the first step alone, "
                "which is computed anyway"
            )
            hint = "shorten the interval, or write `warmup: 1`"
            yield RULE.finding(message, context.span(*scope.path, "warmup", "interval"), hint)


CHECKS = (Check(RULE, check),)
