"""`cfg: fused` on a model whose pipelines call once for each branch."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "fused-calls-twice",
    "fit",
    "`cfg: fused` on a model whose pipelines call once for each branch",
    severity="warning",
    why="The calls of one step are counted as separate steps. Both branches then share one history, and each "
    "one is approximated from the other.",
    bad="cfg: fused  # on Wan",
    good="cfg: separate",
    category="correctness",
)


def check(context: Fit) -> Findings:
    model = context.model
    if model is not None and model.cfg == "separate" and context.policy.cfg.mode == "fused":
        message = f"cfg: with guidance on, pipelines of {model.name} call once for each branch, and not once for all"
        yield RULE.finding(message, context.policy.place("cfg"), "`cfg: separate`, or leave it out")


CHECKS = (Check(RULE, check),)
