"""A threshold beside a static mask."""

from __future__ import annotations

from cachedsl.rules.asking import is_own, said, without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "idle-threshold",
    "meaning",
    "a threshold beside a static mask",
    severity="warning",
    why="A static mask decides every step. Nothing is ever compared with the threshold.",
    bad="reuse: {threshold: 0.2}\nsteps: {preset: fast, otherwise: static}",
    good="steps: {preset: fast, otherwise: static}",
    category="suspicious",
    fix="Removes the threshold; not safe, because the threshold is part of the plan, and the mask may have "
    "been meant as a dynamic one.",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        path, threshold = (*scope.path, "reuse", "threshold"), said(scope.tree, "reuse", "threshold")
        mask = scope.meant.steps
        if mask is None or mask.otherwise != "static" or threshold in (None, 0) or not is_own(context, *path):
            continue
        if scope.path or not context.policy.stacks:
            fix = without(context.document, path, safe=False)
            message = "reuse.threshold: a static mask decides every step, so this has no effect"
            hint = "leave it out, or take `otherwise: dynamic`"
            yield RULE.finding(message, context.span(*path), hint, fix=fix)


CHECKS = (Check(RULE, check),)
