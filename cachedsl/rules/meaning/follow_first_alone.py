"""`follow_first` where there is one call a step."""

from __future__ import annotations

from cachedsl.rules.asking import without
from cachedsl.rules.base import Check, Findings, Fit, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "follow-first-alone",
    "meaning",
    "`follow_first` although there is only one call a step",
    severity="warning",
    why="With `follow_first`, later branches take the decision of the step's first branch. With `fused` "
    "guidance, one call holds all branches, so there is no first one to follow.",
    bad="cfg: {mode: fused, decision: follow_first}",
    good="cfg: {mode: separate, decision: follow_first}",
    category="suspicious",
    fix="Removes `decision`, if the policy itself says `fused`; not safe, because `decision` is part of the plan.",
)


HINT = "leave `decision` out, or take `mode: separate` where the pipeline calls once for each branch"


def check(context: Meaning) -> Findings:
    cfg, path = context.policy.cfg, ("cfg", "decision")
    if cfg.decision == "follow_first" and cfg.mode == "fused":
        message = "cfg.decision: under `fused` one call serves all branches, so there is none to follow"
        fix = without(context.document, path, safe=False)
        yield RULE.finding(message, context.span(*path), HINT, fix=fix)


def check_fit(context: Fit) -> Findings:
    cfg, model = context.policy.cfg, context.model
    if model is not None and model.cfg == "fused" and cfg.decision == "follow_first" and cfg.mode == "auto":
        message = f"cfg.decision: pipelines of {model.name} call once for all branches, so there is none to follow"
        yield RULE.finding(message, context.policy.place("cfg", "decision"), HINT)


CHECKS = (Check(RULE, check), Check(RULE, check_fit, "fit"))
