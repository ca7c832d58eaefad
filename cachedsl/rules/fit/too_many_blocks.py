"""Front and back leave blocks that can be reused."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "too-many-blocks",
    "fit",
    "front and back blocks leave none that could be reused",
    why="The policy would compute everything on this model. It would cost a little more than no policy.",
    bad="compute: F20B20  # on a model of 28 blocks",
    good="compute: F8B8",
    category="performance",
)


def check(context: Fit) -> Findings:
    stacks = context.shape.stacks
    full = {stack: context.resolved(stack).compute for stack in stacks}
    full = {stack: compute for stack, compute in full.items() if compute.front + compute.back >= stack.blocks}
    for stack, compute in full.items():
        if not context.set_by(stack, "compute") and len(full) < len(stacks):
            continue  # a short stack beside a long one runs in full, and the plan says so
        message = (
            f"compute: {compute.front} front and {compute.back} back blocks always run, but {stack.qualified} of "
            f"{context.shape.label} has {stack.blocks}, so nothing could be reused"
        )
        hint = f"front and back together must be at most {stack.blocks - 1}"
        yield RULE.finding(message, context.span(stack, "compute"), hint)


CHECKS = (Check(RULE, check),)
