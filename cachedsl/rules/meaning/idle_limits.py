"""Limits beside `threshold: 0`."""

from __future__ import annotations

from cachedsl.rules.asking import is_own, said, without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "idle-limits",
    "meaning",
    "limits beside `threshold: 0`",
    severity="warning",
    why="A threshold of 0 computes every step, so a limit on reused steps has nothing to limit.",
    bad="reuse: {threshold: 0, max_continuous: 3}",
    good="reuse: {threshold: 0.12, max_continuous: 3}",
    category="suspicious",
    fix="Removes the limit; not safe, because the threshold may be the mistake.",
)


LIMITS = ("max_total", "max_continuous", "max_accumulated")


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        if scope.meant.reuse.threshold != 0 or (context.policy.stacks and not scope.path):
            continue
        for name in LIMITS:
            path = (*scope.path, "reuse", name)
            if is_own(context, *path) and said(scope.tree, "reuse", name) is not None:
                message = f"reuse.{name}: `threshold: 0` computes every step, so there is nothing to limit"
                fix = without(context.document, path, safe=False)
                yield RULE.finding(message, context.span(*path), "leave it out, or raise the threshold", fix=fix)


CHECKS = (Check(RULE, check),)
