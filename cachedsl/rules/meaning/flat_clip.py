"""A gain whose bounds are equal."""

from __future__ import annotations

from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "flat-clip",
    "meaning",
    "a gain whose bounds are equal",
    severity="warning",
    why="The gain follows the movement of the front blocks, within the bounds of `clip`. If both bounds are "
    "the same, the movement is measured and kept in memory, and never used.",
    bad="predict: {method: probe_gain, clip: [1.0, 1.0]}",
    good="predict: {method: probe_gain, clip: [1.0, 1.5]}",
    category="suspicious",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        predict = scope.meant.predict
        low, high = predict.clip
        if "clip" in predict.spec.reads and said(scope.tree, "predict", "clip") is not None and low == high:
            message = f"predict.clip: the gain is always {low:g}, whatever the front blocks show"
            yield RULE.finding(message, context.span(*scope.path, "predict", "clip"), "take bounds that differ")


CHECKS = (Check(RULE, check),)
