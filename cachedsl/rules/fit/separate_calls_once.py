"""`cfg: separate` on a model whose pipelines call once for all branches."""

from __future__ import annotations

from cachedsl.rules.asking import other_calls
from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "separate-calls-once",
    "fit",
    "`cfg: separate` on a model whose pipelines call once for all branches",
    severity="warning",
    why="Every second step is taken for a call of the other branch. Each branch sees half of the steps, and "
    "masks, warmup and tail apply to the wrong steps.",
    bad="cfg: separate  # on Z-Image",
    good="cfg: fused",
    category="correctness",
)


def check(context: Fit) -> Findings:
    message = other_calls(context, "separate")
    if message is not None:
        yield RULE.finding(message, context.policy.place("cfg"), "`cfg: fused`, or leave it out")


CHECKS = (Check(RULE, check),)
