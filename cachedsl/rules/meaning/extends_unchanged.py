"""A policy that changes nothing of the one that it extends."""

from __future__ import annotations

from attrs import evolve

from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "extends-unchanged",
    "meaning",
    "a policy that changes nothing of its parent",
    severity="warning",
    why="Two names stand for one policy. Perhaps the change was never made. Or the parent has changed in the "
    "same way since, and the file is no longer needed.",
    bad="extends: f8b0\ndescription: Ours.",
    good="extends: f8b0\ndescription: Ours.\nwarmup: 4",
    category="suspicious",
)


def check(context: Meaning) -> Findings:
    parent = context.parent
    if parent is None:
        return
    policy = evolve(context.policy, name=parent.name, description=parent.description)
    if policy == parent:
        message = "extends: the policy says nothing that differs from the one that it extends"
        hint = "make the change, or use that one"
        yield RULE.finding(message, context.span("extends"), hint)


CHECKS = (Check(RULE, check),)
