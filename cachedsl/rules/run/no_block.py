"""A loop goes over the lists that the adapter names."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings
from cachedsl.rules.run.facts import RunFacts
from cachedsl.text.finding import Rule, Span

RULE = Rule(
    "no-block",
    "run",
    "no block was called through its list",
    severity="warning",
    why="The model's loop does not use the lists that the adapter names. So it runs all its blocks, whatever "
    "the policy says.",
    bad="stacks: {encoder_blocks: ...}  # but the loop goes over `blocks`",
    good="stacks: {blocks: ...}",
    category="performance",
)


def check(context: RunFacts) -> Findings:
    plan, steps = context.plan, context.steps
    if plan is None or not steps:
        return
    if any(stack.units for stack in plan.stacks) and not any(s.blocks_run or s.outcome == "reused" for s in steps):
        names = ", ".join(dict.fromkeys(f"{s.transformer}.{s.stack}" for s in steps))
        yield RULE.finding(
            f"no block of {names} was called through its list, so all ran uncached; the adapter must name the lists "
            "that the model's loop goes over, and the loop must call their blocks",
            Span(context.policy.name),
        )


CHECKS = (Check(RULE, check),)
