"""What goes by the run's step count needs it."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.language.policy import StackPolicy
from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "unknown-step-count",
    "count",
    "a key depends on the run's step count, which is not known",
    why="While a run goes on, nobody can tell which steps are the last ones, or how long a share of the run is.",
    bad="tail: 2  # on a bare transformer without num_inference_steps",
    good="policy.apply(transformer, num_inference_steps=28)",
)
HINT = "give num_inference_steps, or start the run with its step count"


def check(context: Count) -> Findings:
    if context.num_steps is not None:
        return
    for stack in context.shape.stacks:
        for path, message in _needs_count(context.resolved(stack)):
            yield RULE.finding(f"{'.'.join(path)}: {message}", context.span(stack, *path), HINT)


def _needs_count(resolved: StackPolicy) -> Iterator[tuple[tuple[str, ...], str]]:
    if resolved.tail:
        yield ("tail",), f"{resolved.tail} needs the run's step count, which is not known"
    if isinstance(resolved.warmup.steps, str):
        yield ("warmup",), f"{resolved.warmup.steps} needs the run's step count, which is not known"
    signal = resolved.signal
    if signal is not None and signal.spec.source == "schedule":
        yield ("reuse", "signal"), f"{signal.tap} ratios go by the run's step count, which is not known"
    if resolved.steps is not None:
        yield ("steps",), "a mask needs the run's step count, which is not known"


CHECKS = (Check(RULE, check),)
