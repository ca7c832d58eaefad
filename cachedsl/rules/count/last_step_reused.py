"""A mask that reuses the last step."""

from __future__ import annotations

from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "last-step-reused",
    "count",
    "a mask that reuses the last step",
    severity="warning",
    why="The last step settles the finest details, and no later step corrects it. The published masks and "
    "TeaCache compute it.",
    bad='steps: "1101110"  # in a run of 7 steps',
    good='steps: "1101111"',
    category="suspicious",
)


def check(context: Count) -> Findings:
    for stack in context.plan.stacks if context.plan else ():
        if stack.mask and stack.table and stack.mask[-1] == "0" and stack.table[-1].verdict != "compute":
            message = f"steps: the last of {context.num_steps} steps is not computed"
            hint = "let the mask end with 1, or add `tail: 1`"
            yield RULE.finding(message, context.span(stack.shape, "steps"), hint)


CHECKS = (Check(RULE, check),)
