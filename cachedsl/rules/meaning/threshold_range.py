"""A threshold far outside what was published for its signal."""

from __future__ import annotations

from cachedsl.rules.asking import said, threshold_of
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "threshold-range",
    "meaning",
    "a threshold far outside what was published for its signal",
    severity="warning",
    why="Signals have different scales: 0.05 is high for one and low for another. A threshold of more than "
    "twice the highest published one reuses almost everything. One of less than half the lowest reuses "
    "almost nothing. Often it was copied from another signal, or is a percentage. Look at images before "
    "you use such a threshold.",
    bad="reuse: {threshold: 8}  # meant as 8 %",
    good="reuse: {threshold: 0.08}",
    category="suspicious",
)


SLACK = 2.0
"""A threshold within this factor of the published ones passes."""


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        signal, threshold = scope.meant.signal, threshold_of(scope.meant)
        published = None if signal is None else signal.spec.published
        if signal is None or threshold is None or published is None or said(scope.tree, "reuse") is None:
            continue
        if signal.metric != "relative_l1" and "metric" in signal.spec.reads:
            continue
        least, most = published
        if least / SLACK <= threshold <= most * SLACK:
            continue
        message = (
            f"reuse.threshold: {threshold:g} is far outside {least:g} to {most:g}, the published thresholds of "
            f"`{signal.tap}`"
        )
        hint = "take one of that range, or `threshold: always` to measure nothing"
        yield RULE.finding(message, context.span(*scope.path, "reuse", "threshold"), hint)


CHECKS = (Check(RULE, check),)
