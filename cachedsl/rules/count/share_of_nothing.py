"""A share of the run that comes to no step."""

from __future__ import annotations

from cachedsl.language.schedule import resolve_steps
from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "share-of-nothing",
    "count",
    "a share of the run that rounds to no step",
    severity="warning",
    why="A share is rounded to the nearest step. A small share of a short run is 0 steps, and the key does nothing.",
    bad="tail: 3%  # in a run of 10 steps",
    good="tail: 10%",
    category="suspicious",
)


def check(context: Count) -> Findings:
    if context.num_steps is None:
        return
    for stack in context.shape.stacks:
        meant = context.resolved(stack)
        for key, share in (("warmup", meant.warmup.steps), ("tail", meant.tail)):
            if isinstance(share, str) and int(share.removesuffix("%")) and not resolve_steps(share, context.num_steps):
                message = f"{key}: {share} of {context.num_steps} steps are none"
                yield RULE.finding(message, context.span(stack, key), "take a larger share, or a count of steps")


CHECKS = (Check(RULE, check),)
