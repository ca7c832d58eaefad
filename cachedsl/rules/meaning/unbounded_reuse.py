"""A high threshold and no bound on how long one result is reused."""

from __future__ import annotations

from cachedsl.rules.asking import is_unbounded, said, threshold_of
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "unbounded-reuse",
    "meaning",
    "a high threshold without a limit on how long one result is reused",
    severity="warning",
    why="The signal is compared with the last computed step. So a slow drift stays below a high threshold for "
    "many steps in a row. Published policies with such a threshold limit the number of steps.",
    bad="reuse: {threshold: 0.3}",
    good="reuse: {threshold: 0.3, max_continuous: 3}",
    category="suspicious",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        meant, threshold = scope.meant, threshold_of(scope.meant)
        published = None if meant.signal is None else meant.signal.spec.published
        if threshold is None or published is None or meant.signal is None or not said(scope.tree, "reuse"):
            continue
        if meant.signal.accumulate == "none" and is_unbounded(meant) and threshold > sum(published) / 2:
            message = (
                f"reuse.threshold: {threshold:g} is high for `{meant.signal.tap}`, and nothing bounds how many steps "
                "in a row are reused"
            )
            hint = "add `max_continuous`, such as 3"
            yield RULE.finding(message, context.span(*scope.path, "reuse", "threshold"), hint)


CHECKS = (Check(RULE, check),)
