"""Nothing could ever be reused."""

from __future__ import annotations

from cachedsl.language.masks import BitMask
from cachedsl.language.schedule import MaskMismatch, resolve_mask
from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "cannot-reuse",
    "meaning",
    "no step can ever be reused",
    severity="warning",
    why="The policy computes every step. It costs a little more than no policy.",
    bad="reuse: {threshold: 0}",
    good="reuse: {threshold: 0.08}",
    category="performance",
)


LONG_RUN = 1000


def check(context: Meaning) -> Findings:
    policy = context.policy
    if policy.reuse.threshold == 0 and not policy.stacks:
        message = "reuse.threshold: 0 computes every step, so nothing is ever reused"
        yield RULE.finding(message, context.span("reuse", "threshold"), "raise it, or apply no policy")
    for scope in context.scopes:
        mask = scope.meant.steps if said(scope.tree, "steps") is not None else None
        if mask is None:
            continue
        try:
            bits = mask.bits if isinstance(mask, BitMask) else resolve_mask(mask, LONG_RUN)
        except MaskMismatch:
            continue
        if "0" not in bits:
            message = "steps: the mask computes every step, so nothing is ever reused"
            yield RULE.finding(message, context.span(*scope.path, "steps"), "leave some steps out of it")


CHECKS = (Check(RULE, check),)
