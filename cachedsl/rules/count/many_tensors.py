"""The policy holds very many tensors of the hidden states' size."""

from __future__ import annotations

from cachedsl.plan.ir import StackPlan
from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "many-tensors",
    "count",
    "the policy keeps very many tensors as large as the hidden states",
    severity="warning",
    why="Each unit keeps what its predictor needs: one tensor for `copy`, n + 1 for a polynomial of order n, "
    "in each CFG branch. With `prune` each block is a unit. At 4,096 tokens of 3,072 channels in bfloat16 "
    "one tensor is 24 MiB, so a hundred tensors are 2.4 GiB. Neither the adapter nor the policy knows how many tokens "
    "a run has. If an entry of the `plans` table says it in `memory`, `memory-budget` counts bytes instead.",
    bad="predict: {method: taylor, order: 3}\nprune: {}",
    good="predict: copy\nprune: {}",
    category="performance",
)


BUDGET = 100


def check(context: Count) -> Findings:
    plan = context.plan
    if plan is None or context.model is None or context.budget is not None:
        return
    held = {stack: _tensors(stack) for stack in plan.stacks}
    total = sum(held.values())
    if total > BUDGET:
        most = max(held, key=lambda stack: held[stack])
        key = "predict" if most.rules.predict.anchors > 1 else "prune"
        message = (
            f"{key}: {total} tensors of the hidden states' size are held in each CFG branch on {context.model.name}"
        )
        hint = (
            "take a lower order or `copy`, a larger `compute.front`, or no `prune`; with `memory` in the `plans` table "
            "bytes are counted"
        )
        yield RULE.finding(message, context.span(most.shape, key), hint)


def _tensors(stack: StackPlan) -> int:
    predict = stack.rules.predict
    repays = predict.repay_anchors if predict.repay and stack.rules.prune is None else 0
    return 0 if stack.rules.exact else len(stack.units) * (predict.anchors + predict.probes + repays)


CHECKS = (Check(RULE, check),)
