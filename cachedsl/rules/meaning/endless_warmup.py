"""A refresh that begins a new warmup before the last one is over."""

from __future__ import annotations

from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "endless-warmup",
    "meaning",
    "a refresh that begins a new warmup before the last one is over",
    severity="warning",
    why="Every refresh drops the history and starts a warmup. If the next refresh comes before the warmup "
    "ends, every step is computed.",
    bad="warmup: 8\nrefresh: {at: 6, repeat: true}",
    good="warmup: 2\nrefresh: {at: 6, repeat: true}",
    category="performance",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        refresh, warmup = scope.meant.refresh, scope.meant.warmup
        key = next((key for key in ("refresh", "warmup") if said(scope.tree, key) is not None), None)
        if key is None or refresh is None or not refresh.repeat or not isinstance(warmup.steps, int):
            continue
        if warmup.interval == 1 and warmup.steps >= refresh.at and scope.meant.steps is None:
            message = (
                f"{key}: a refresh every {refresh.at} steps begins a warmup of {warmup.steps} before the last one is "
                "over, so nothing is reused"
            )
            hint = f"a warmup of less than {refresh.at} steps, or a rarer refresh"
            yield RULE.finding(message, context.span(*scope.path, key), hint)


CHECKS = (Check(RULE, check),)
