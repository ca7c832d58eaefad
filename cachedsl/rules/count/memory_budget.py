"""The features take more memory than the `plans` table allows."""

from __future__ import annotations

from cachedsl.rules.base import Check, Count, Findings
from cachedsl.rules.budget import in_words
from cachedsl.text.finding import Rule

RULE = Rule(
    "memory-budget",
    "count",
    "the features take more memory than the `plans` table allows",
    severity="warning",
    why="What is kept between steps is held beside the model's weights and activations. An entry of the `plans` table "
    "says in `memory` how much of it the device has room for, and the shapes by which it is counted, as `Plan.memory` "
    "counts it. What `features` holds on the CPU is left out.",
    bad='# memory = {budget = "500MiB", hidden = [1, 4096, 3072], encoder = [1, 512, 3072]}\nprune: {}',
    good='# memory = {budget = "500MiB", hidden = [1, 4096, 3072], encoder = [1, 512, 3072]}\nspan: joined',
    category="performance",
)


HINT = "a lower order or `copy`, `span: joined`, no `prune`, or `features` in a shorter dtype or on the CPU"


def check(context: Count) -> Findings:
    plan, budget, model = context.plan, context.budget, context.model
    if plan is None or budget is None or model is None:
        return
    shapes = {name: shape for name, shape in budget.shapes.items() if name in (*model.streams, "latent")}
    lacking = [name for name in model.streams if name not in shapes]
    try:
        held = plan.memory(shapes, element_size=budget.element_size, branches=budget.branches)
    except KeyError as error:  # of what the signal goes by
        lacking.append(error.args[0])
    if lacking:
        message = f"reuse: what it holds on {model.name} cannot be counted without the shape of `{lacking[0]}`"
        hint = f"add `{lacking[0]}` to `memory` of that entry of `plans`"
        yield RULE.finding(message, context.policy.place("reuse"), hint)
        return
    total = held.total - held.on_cpu
    if total <= budget.bytes:
        return
    each = {one.stack: one.signal + (0 if one.on_cpu else one.features) for one in held.stacks}
    most = max(plan.stacks, key=lambda stack: each[stack.shape.qualified])
    key = "prune" if most.rules.prune is not None else "predict" if most.rules.predict.anchors > 1 else "compute"
    branches = f" in {held.branches} CFG branches" if held.branches > 1 else ""
    largest = f", {in_words(held.branches * each[most.shape.qualified])} of it by {most.shape.name}"
    message = (
        f"{key}: {in_words(total)} of features are held on {model.name}{branches}"
        f"{largest if len(plan.stacks) > 1 else ''}; the budget is {budget.said}"
    )
    yield RULE.finding(message, context.span(most.shape, key), HINT)


CHECKS = (Check(RULE, check),)
