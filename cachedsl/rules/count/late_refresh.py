"""A refresh that comes after the last step."""

from __future__ import annotations

from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "late-refresh",
    "count",
    "a refresh that comes after the last step",
    severity="warning",
    why="The run ends before the refresh. Usually the refresh was chosen for a longer run, or the last "
    "transformer of the pipeline runs only a part of the steps.",
    bad="refresh: 30  # in a run of 28 steps",
    good="refresh: 14",
    category="suspicious",
)


def check(context: Count) -> Findings:
    for stack in context.shape.stacks:
        refresh = context.resolved(stack).refresh
        if refresh is not None and context.num_steps is not None and refresh.at >= context.num_steps:
            message = f"refresh: step {refresh.at} is never reached: the run has {context.num_steps}, counted from 0"
            yield RULE.finding(message, context.span(stack, "refresh"), "take an earlier step, or leave it out")


CHECKS = (Check(RULE, check),)
