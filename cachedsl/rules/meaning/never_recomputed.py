"""After the warmup every step is reused."""

from __future__ import annotations

from cachedsl.rules.asking import is_unbounded, said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "never-recomputed",
    "meaning",
    "every step after the warmup is reused",
    severity="warning",
    why="With the threshold `always`, only a limit, a mask or a refresh makes the model compute again. Without "
    "any of them, the rest of the run repeats what the warmup left behind, and the image stays noise.",
    bad="reuse: {threshold: always}",
    good="reuse: {threshold: always, max_continuous: 3}",
    category="suspicious",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        threshold = said(scope.tree, "reuse", "threshold")
        if threshold == "always" and is_unbounded(scope.meant):
            message = "reuse.threshold: `always` without a limit reuses every step behind the warmup"
            hint = "add `max_continuous`, such as 3, a mask or a refresh"
            yield RULE.finding(message, context.span(*scope.path, "reuse", "threshold"), hint)


CHECKS = (Check(RULE, check),)
