"""A warmup that the mask cuts short."""

from __future__ import annotations

from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Count, Findings, written_tree
from cachedsl.text.finding import Rule

RULE = Rule(
    "warmup-cut",
    "count",
    "a warmup that the mask cuts short",
    severity="warning",
    why="With a mask, the warmup ends at the mask's first 0 at the latest. A longer warmup promises more "
    "computed steps than there are.",
    bad='warmup: 6\nsteps: "11011011"',
    good='warmup: 2\nsteps: "11011011"',
    category="suspicious",
)


def check(context: Count) -> Findings:
    for stack in context.plan.stacks if context.plan else ():
        meant, written = context.resolved(stack.shape), context.set_by(stack.shape, "warmup")
        said_here = bool(written) or said(written_tree(context.policy), "warmup") is not None
        if stack.mask is None or not isinstance(meant.warmup.steps, int) or not said_here:
            continue
        leading = len(stack.mask) - len(stack.mask.lstrip("1"))
        if leading < min(meant.warmup.steps, context.num_steps or 0):
            message = f"warmup: {meant.warmup.steps} steps, but the mask's first {leading} are all that it spans"
            hint = f"`warmup: {leading}`, or a mask with more leading ones"
            yield RULE.finding(message, context.span(stack.shape, "warmup"), hint)


CHECKS = (Check(RULE, check),)
