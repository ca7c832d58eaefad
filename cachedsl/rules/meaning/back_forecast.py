"""Back blocks together with a predictor that forecasts."""

from __future__ import annotations

from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "back-forecast",
    "meaning",
    "back blocks together with a predictor that forecasts",
    severity="warning",
    why="Back blocks refine a copied result. A forecasting predictor does that job without running blocks, so "
    "the back blocks cost time on every reused step for little. cache-dit's guide sets them to 0 beside "
    "TaylorSeer.",
    bad="compute: F8B8\npredict: taylor",
    good="compute: F8B0\npredict: taylor",
    category="performance",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        meant = scope.meant
        key = next((key for key in ("compute", "predict") if said(scope.tree, key) is not None), None)
        if key is not None and meant.compute.back and meant.predict.spec.forecasts and meant.prune is None:
            message = (
                f"compute: {meant.compute.back} back blocks run on every reused step, although "
                f"`{meant.predict.method}` forecasts what they would refine"
            )
            hint = f"F{meant.compute.front}B0, or `predict: copy`"
            yield RULE.finding(message, context.span(*scope.path, key), hint)


CHECKS = (Check(RULE, check),)
