"""A polynomial of higher order than any that was published."""

from __future__ import annotations

from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "high-order",
    "meaning",
    "a polynomial of a higher order than any that was published",
    severity="warning",
    why="Each order doubles the noise of the differences that the polynomial is made of, and keeps one more "
    "tensor for each unit. TaylorSeer goes up to order 4, on class-conditional DiT. Text-to-image models "
    "use 1 and 2.",
    bad="predict: {method: taylor, order: 6}",
    good="predict: {method: taylor, order: 2}",
    category="suspicious",
)


PUBLISHED = 4


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        predict = scope.meant.predict
        if "order" in predict.spec.reads and said(scope.tree, "predict", "order") and predict.order > PUBLISHED:
            message = f"predict.order: {predict.order} is above {PUBLISHED}, the highest that was published"
            hint = "take 1 or 2: high orders amplify noise, and hold a tensor each"
            yield RULE.finding(message, context.span(*scope.path, "predict", "order"), hint)


CHECKS = (Check(RULE, check),)
