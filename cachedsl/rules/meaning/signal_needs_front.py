"""A signal, or a predictor, that goes by the front blocks needs a front block."""

from __future__ import annotations

from cachedsl.language.policy import StackPolicy
from cachedsl.rules.base import Check, Findings, Fit, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "signal-needs-front",
    "meaning",
    "the signal or predictor looks at the front blocks, and there are none",
    why="With F0, no block runs before the decision. A signal that looks at the front blocks then has nothing "
    "to look at.",
    bad="compute: F0B0\nreuse: {signal: residual}",
    good="compute: F0B0\nreuse: {signal: modulated_input}",
)


def check(context: Meaning) -> Findings:
    inherited = False
    for scope in context.scopes:
        lacks = scope.meant.compute.front == 0 and scope.meant.needs_front
        if lacks and not (inherited and "compute" not in scope.tree):
            message, hint = needs_front(scope.meant)
            yield RULE.finding(f"compute: {message}, but F0 has none", context.span(*scope.path, "compute"), hint)
        inherited = inherited or (not scope.path and lacks)


def needs_front(meant: StackPolicy) -> tuple[str, str]:
    """Return what of a policy goes by the front blocks, and the way out where there are none."""
    if meant.signal is not None and meant.signal.after_front:
        return (
            f"signal `{meant.signal.tap}` is measured after the front blocks",
            "compute at least F1, take a signal that is there before (`block_input`, `modulated_input`, ...), or "
            "reuse without measuring (`threshold: always`)",
        )
    return (
        f"`{meant.predict.method}` goes by the movement of the front blocks",
        "compute at least F1, or take another predictor",
    )


def check_fit(context: Fit) -> Findings:
    """Look at stacks under several entries, which meet only on a model."""
    for stack in context.shape.stacks:
        resolved = context.resolved(stack)
        if resolved.compute.front == 0 and resolved.needs_front:
            what, hint = needs_front(resolved)
            message = f"compute: {what}, but {stack.qualified} has none under F0"
            yield RULE.finding(message, context.span(stack, "compute"), hint)


CHECKS = (Check(RULE, check), Check(RULE, check_fit, "fit"))
