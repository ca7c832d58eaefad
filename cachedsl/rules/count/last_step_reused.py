"""A mask that reuses the last step."""

from __future__ import annotations

from cachedsl.language.masks import BitMask
from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Count, Findings, Meaning
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


HINT = "let the mask end with 1, or add `tail: 1`"


def check(context: Count) -> Findings:
    for stack in context.plan.stacks if context.plan else ():
        if stack.mask and stack.table and stack.mask[-1] == "0" and stack.table[-1].verdict != "compute":
            message = f"steps: the last of {context.num_steps} steps is not computed"
            yield RULE.finding(message, context.span(stack.shape, "steps"), HINT)


def check_bits(context: Meaning) -> Findings:
    """Look at masks that are written out, where no step count is named: they tell it."""
    for scope in () if context.counts else context.scopes:
        mask = scope.meant.steps if said(scope.tree, "steps") is not None else None
        if isinstance(mask, BitMask) and mask.bits[-1] == "0" and scope.meant.tail == 0:
            message = f"steps: the last of {len(mask.bits)} steps is not computed"
            yield RULE.finding(message, context.span(*scope.path, "steps"), HINT)


CHECKS = (Check(RULE, check), Check(RULE, check_bits, "meaning"))
