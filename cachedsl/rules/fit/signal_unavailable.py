"""What a signal looks at is there on the model."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "signal-unavailable",
    "fit",
    "the model's adapter does not say where to find what the signal measures",
    why="Without that, the signal can never be measured.",
    bad="reuse: {signal: modulated_input}  # on a model whose adapter has no `modulated_input`",
    good="reuse: {signal: residual}",
)


def check(context: Fit) -> Findings:
    for stack in context.shape.stacks:
        signal = context.resolved(stack).signal
        if signal is not None and signal.spec.source == "modulated_input" and stack.modulated is False:
            message = (
                f"reuse.signal: the adapter of {context.shape.label} does not say how the modulated input of "
                f"{stack.qualified} is evaluated"
            )
            hint = "take another signal, or let the adapter say it with `modulated_input`"
            yield RULE.finding(message, context.span(stack, "reuse", "signal"), hint)


CHECKS = (Check(RULE, check),)
