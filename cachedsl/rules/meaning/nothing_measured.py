"""A signal, or a bound on measured values, where nothing is measured."""

from __future__ import annotations

from cachedsl.rules.asking import is_own, said, without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "nothing-measured",
    "meaning",
    "a signal, or a limit on measured values, although nothing is measured",
    severity="warning",
    why="With the threshold `always`, or with a static mask, no value is ever measured. A reader of the policy "
    "thinks that a measured value decides.",
    bad="reuse: {threshold: always, signal: probe, max_continuous: 3}",
    good="reuse: {threshold: always, max_continuous: 3}",
    category="suspicious",
    fix="Removes the key; safe for a signal, not safe for `max_accumulated`, which is part of the plan.",
)


KEYS = {"signal": True, "max_accumulated": False}
"""What needs a measured value; whether the plan is the same without it."""


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        meant = scope.meant
        if meant.measures or meant.reuse.threshold == 0 or (context.policy.stacks and not scope.path):
            continue
        why = "`threshold: always`" if meant.reuse.threshold == "always" else "a static mask"
        for name, safe in KEYS.items():
            path = (*scope.path, "reuse", name)
            if is_own(context, *path) and said(scope.tree, "reuse", name) is not None:
                fix = without(context.document, path, safe=safe and context.parent is None)
                message = f"reuse.{name}: under {why} nothing is measured, so this has no effect"
                yield RULE.finding(message, context.span(*path), "leave it out, or give a threshold", fix=fix)


CHECKS = (Check(RULE, check),)
