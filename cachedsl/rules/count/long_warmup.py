"""A warmup of more than half the run."""

from __future__ import annotations

from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "long-warmup",
    "count",
    "a warmup of more than half the run",
    severity="warning",
    why="Only steps after the warmup can be reused. A warmup that was chosen for 28 or 50 steps takes most of "
    "a short run. Few-step models need a warmup of 1 to 3.",
    bad="warmup: 8  # in a run of 10 steps",
    good="warmup: 3",
    category="performance",
)


FORCED = ("no_history", "warmup")


def check(context: Count) -> Findings:
    steps = context.num_steps or 0
    for stack in context.plan.stacks if context.plan else ():
        table = stack.table or ()
        forced = sum(entry.reason in FORCED for entry in table)
        if stack.mask is not None:
            continue  # it computes those steps itself, and a shorter warmup changes nothing
        if stack.rules.warmup_interval > 1 or all(entry.verdict == "compute" for entry in table):
            continue
        if 2 * forced > steps > 0 and stack.units:
            message = f"warmup: {forced} of {steps} steps are warmup, so that less than half of the run can be reused"
            hint = "a shorter warmup, or a share such as `warmup: 20%`"
            yield RULE.finding(message, context.span(stack.shape, "warmup"), hint)


CHECKS = (Check(RULE, check),)
