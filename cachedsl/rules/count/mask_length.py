"""A literal mask has one bit for each step of the run."""

from __future__ import annotations

from cachedsl.language.schedule import MaskMismatch, resolve_mask
from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "mask-length",
    "count",
    "a mask was written for another step count than the run's",
    why="The mask does not say which of its steps belongs to which step of the run.",
    bad='steps: "1101"  # in a run of 28 steps',
    good="steps: {compute: [2, 1], cache: [1, 1]}",
)


def check(context: Count) -> Findings:
    if context.num_steps is None:
        return
    for stack in context.shape.stacks:
        mask = context.resolved(stack).steps
        if mask is None:
            continue
        try:
            resolve_mask(mask, context.num_steps)
        except MaskMismatch as error:
            hint = "write a mask for this count, or use runs, which adapt"
            yield RULE.finding(f"steps: {error}", context.span(stack, "steps"), hint)


CHECKS = (Check(RULE, check),)
