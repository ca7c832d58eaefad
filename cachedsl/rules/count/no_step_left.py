"""The step count leaves no step that could be reused."""

from __future__ import annotations

from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "no-step-left",
    "count",
    "the step count leaves no step that could be reused",
    severity="warning",
    why="Warmup and tail cover the whole run. The usual case is a few-step model (4 to 8 steps) with a warmup "
    "of 8. The policy seems to work, and nothing gets faster.",
    bad="warmup: 8  # in a run of 8 steps",
    good="warmup: 2",
    category="performance",
)


FORCED = {"warmup", "tail", "refresh"}
LIMITS = {"max_total", "max_continuous", "max_accumulated"}
"""A limit of 0 computes every step too; `zero-limit` says so."""


def check(context: Count) -> Findings:
    stacks = [stack for stack in context.plan.stacks if stack.units] if context.plan else []
    entries = [entry for stack in stacks for entry in stack.table or ()]
    reasons = {entry.reason for entry in entries}
    if not entries or any(entry.verdict != "compute" for entry in entries) or not reasons & FORCED or reasons & LIMITS:
        return
    if any(stack.mask is not None and "0" not in stack.mask for stack in stacks):
        return  # the mask alone would do it
    key = next(key for key in ("warmup", "tail", "refresh") if key in reasons)
    words = ", ".join(dict.fromkeys(entry.reason for entry in entries if entry.reason in FORCED))
    message = f"{key}: of {context.num_steps} steps none is left to reuse: every one is computed ({words})"
    hint = "a shorter warmup or tail, or a share such as `warmup: 20%`"
    yield RULE.finding(message, context.span(stacks[0].shape, key), hint)


CHECKS = (Check(RULE, check),)
