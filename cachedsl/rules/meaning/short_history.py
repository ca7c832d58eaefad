"""A predictor that the warmup cannot feed."""

from __future__ import annotations

from cachedsl.language.policy import StackPolicy
from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Count, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "short-history",
    "meaning",
    "a predictor that needs more computed steps than the warmup has",
    severity="warning",
    why="A polynomial of order n needs n + 1 computed steps. If the warmup has fewer, the first reused steps "
    "are predicted with a lower order, or copied. They are at the start of the run, where errors cost "
    "most.",
    bad="warmup: 1\npredict: {method: taylor, order: 2}",
    good="warmup: 3\npredict: {method: taylor, order: 2}",
    category="suspicious",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        meant, steps = scope.meant, scope.meant.warmup.steps
        if meant.steps is not None or not isinstance(steps, int) or meant.reuse.threshold == 0:
            continue  # with a mask or a share it is known with the step count
        have = max(1 if meant.warmup.interval > 1 else steps, 1 if meant.signal is None else meant.signal.spec.anchors)
        key = next((key for key in ("warmup", "predict") if said(scope.tree, key) is not None), None)
        need = meant.predict.spec.fed_by(meant.predict)
        if key is not None and have < need:
            yield RULE.finding(*_words(meant, key, have, need), context.span(*scope.path, key), _hint(need))


def check_count(context: Count) -> Findings:
    for stack in () if context.plan is None else context.plan.stacks:
        meant = context.resolved(stack.shape)
        if (meant.steps is None and isinstance(meant.warmup.steps, int)) or stack.table is None or stack.rules.exact:
            continue
        key = "warmup" if meant.steps is None else "steps"
        have = next((at for at, entry in enumerate(stack.table) if entry.verdict != "compute"), None)
        need = meant.predict.spec.fed_by(meant.predict)
        if have is not None and have < need:
            yield RULE.finding(*_words(meant, key, have, need), context.span(stack.shape, key), _hint(need))


def _words(meant: StackPolicy, key: str, have: int, need: int) -> tuple[str]:
    steps = "step" if have == 1 else "steps"
    method = f"`{meant.predict.method}`"
    if "order" in meant.predict.spec.reads:
        method += f" of order {meant.predict.order}"
    return (f"{key}: {method} goes by {need} computed steps, but the first reused step has {have} {steps} before it",)


def _hint(need: int) -> str:
    return f"compute at least {need} steps at the head of the run, or take a lower order or a simpler method"


CHECKS = (Check(RULE, check), Check(RULE, check_count, "count"))
