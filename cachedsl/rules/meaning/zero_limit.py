"""A limit of 0 reused steps, which published tables write for no limit."""

from __future__ import annotations

from cachedsl.rules.asking import said, without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "zero-limit",
    "meaning",
    "a limit of 0 reused steps, which means no limit in published tables",
    severity="warning",
    why="In compact notation and in published tables, `M0` and `MC0` mean that there is no limit. In a policy, "
    "0 means that no step may be reused, so every step is computed.",
    bad="reuse: {threshold: 0.12, max_continuous: 0}",
    good="reuse: {threshold: 0.12}",
    category="suspicious",
    fix="Removes the limit; not safe, because steps are reused then.",
)


LIMITS = {"max_total": (), "max_continuous": (), "max_accumulated": ("limit",)}
"""The limits, and where below its key each one's bound is."""


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        for name, below in LIMITS.items():
            path = (*scope.path, "reuse", name)
            if said(scope.tree, "reuse", name, *below) != 0:
                continue
            message = f"reuse.{name}: 0 lets no step be reused; in tables and notation it stands for no limit"
            fix = without(context.document, path, safe=False, title=f"Take `{name}` out: no limit")
            yield RULE.finding(message, context.span(*path), "leave it out for no limit", fix=fix)


CHECKS = (Check(RULE, check),)
