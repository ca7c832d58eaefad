"""A horizon that `max_continuous` never lets be reached."""

from __future__ import annotations

from cachedsl.rules.asking import said, without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "idle-horizon",
    "meaning",
    "a horizon that is never reached because of `max_continuous`",
    severity="warning",
    why="The predictor copies after `horizon` reused steps in a row. If there are never that many, the key "
    "changes nothing.",
    bad="reuse: {max_continuous: 3}\npredict: {method: taylor, horizon: 3}",
    good="reuse: {max_continuous: 3}\npredict: {method: taylor, horizon: 2}",
    category="suspicious",
    fix="Removes `horizon`; not safe, because the plan loses it, although every step is predicted as before.",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        meant, path = scope.meant, (*scope.path, "predict", "horizon")
        run, horizon = meant.reuse.max_continuous, meant.predict.horizon
        if said(scope.tree, "predict", "horizon") is None or not run or horizon is None or horizon < run:
            continue
        if meant.prune is None:
            message = f"predict.horizon: {horizon} is never passed, for at most {run} steps are reused in a row"
            fix = without(context.document, path, safe=False)
            yield RULE.finding(message, context.span(*path), "lower it, or leave it out", fix=fix)


CHECKS = (Check(RULE, check),)
