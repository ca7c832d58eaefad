"""A policy does not say what it is for."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "no-description",
    "meaning",
    "a policy does not say what it is for",
    severity="warning",
    why="Numbers alone do not say for which model, step count and sampler they were chosen, or where they come "
    "from. Without a description, somebody who finds the policy in a year has to measure again.",
    bad="version: 1\nwarmup: 4",
    good="version: 1\ndescription: For FLUX.1-dev at 28 steps.\nwarmup: 4",
    category="style",
    opt_in=True,
)


def check(context: Meaning) -> Findings:
    if not context.policy.description.strip():
        message = "description: the policy does not say what it is for"
        yield RULE.finding(
            message, context.span("version"), "say the model, the step count, and where its numbers are from"
        )


CHECKS = (Check(RULE, check),)
