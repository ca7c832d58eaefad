"""A signal that needs places has them: the latent is a grid, or something says where its tokens belong."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "signal-needs-places",
    "fit",
    "the signal needs the rows and columns of the model's tokens, and nothing gives them",
    why="The signal filters the latent along height and width. This model takes its latent as a row of tokens, "
    "and none of its arguments has the rows and columns. So the signal cannot be measured on any step.",
    bad="compute: F0B0\nreuse: {signal: filtered_latent}  # on a model that takes tokens without their positions",
    good="compute: F1B0\nreuse: {signal: residual}",
)


def check(context: Fit) -> Findings:
    for stack in context.shape.stacks:
        signal = context.resolved(stack).signal
        if signal is not None and signal.spec.places and stack.transformer in context.shape.placeless:
            message = (
                f"reuse.signal: {signal.tap} needs places, but {stack.transformer} of {context.shape.label} takes its "
                "latent as a row of tokens, and its adapter does not say where they belong"
            )
            hint = (
                "take another signal, or name the argument that has their rows and columns in the adapter "
                "(`input: {positions: ...}`)"
            )
            yield RULE.finding(message, context.span(stack, "reuse", "signal"), hint)


CHECKS = (Check(RULE, check),)
