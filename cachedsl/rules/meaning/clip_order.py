"""Two bounds stand in their order."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "clip-order",
    "meaning",
    "the bounds of `predict.clip` stand in the wrong order",
    why="A gain cannot be at least the larger bound and at most the smaller one.",
    bad="predict: {method: probe_gain, clip: [1.5, 1]}",
    good="predict: {method: probe_gain, clip: [1, 1.5]}",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        low, high = (scope.tree.get("predict") or {}).get("clip") or (0, 0)
        if not low <= high:
            message = f"predict.clip: expected the lower bound first, got `{low}` and `{high}`"
            yield RULE.finding(message, context.span(*scope.path, "predict", "clip"))


CHECKS = (Check(RULE, check),)
