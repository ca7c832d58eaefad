"""Front and back cover a block list that others of the model outweigh."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "short-stack",
    "fit",
    "front and back leave nothing to reuse in a large block list",
    severity="warning",
    why="If front and back take all blocks of a list, the list runs in full on every step. This does not "
    "matter for a short refiner. It does matter for a list that is a good part of the model.",
    bad="compute: F12B8  # on FLUX.1-dev: 19 and 38 blocks",
    good="compute: F8B8",
    category="performance",
)


MATTERS = 0.1
"""A list with less of the model's blocks than this may run in full."""


def check(context: Fit) -> Findings:
    stacks = context.shape.stacks
    total = sum(stack.blocks for stack in stacks)
    for stack in stacks:
        compute = context.resolved(stack).compute
        always = compute.front + compute.back
        if always < stack.blocks or stack.blocks < MATTERS * total or context.set_by(stack, "compute"):
            continue
        if all(context.resolved(other).compute.front >= other.blocks for other in stacks):
            continue
        share = round(100 * stack.blocks / total)
        message = (
            f"compute: F{compute.front}B{compute.back} leaves nothing of the {stack.blocks} blocks of "
            f"{stack.qualified}, {share} % of {context.shape.label}"
        )
        hint = f"fewer front and back blocks for it: `stacks: {{{stack.name}: {{compute: F1B0}}}}`"
        yield RULE.finding(message, context.span(stack, "compute"), hint)


CHECKS = (Check(RULE, check),)
