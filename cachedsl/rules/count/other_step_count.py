"""Ratios that were calibrated for another step count."""

from __future__ import annotations

from cachedsl.rules.base import Check, Count, Findings
from cachedsl.text.finding import Rule

RULE = Rule(
    "other-step-count",
    "count",
    "ratios that were calibrated for another step count",
    severity="warning",
    why="Ratios for another step count are stretched: each step takes the nearest ratio. But the steps of a "
    "longer run lie elsewhere on the noise schedule. So the ratios are less exact than calibrated ones.",
    bad="signal: {tap: magnitude, ratios: [1.0, 0.98]}  # in a run of 28 steps",
    good="signal: {tap: magnitude, ratios: flux-28.json}",
    category="suspicious",
)


def check(context: Count) -> Findings:
    for stack in context.shape.stacks:
        signal = context.resolved(stack).signal
        if signal is None or signal.ratios is None or context.num_steps is None:
            continue
        rows = [row for _, row in signal.ratios.branches] or [signal.ratios.values]
        lengths = sorted({len(row) for row in rows} - {context.num_steps})
        if lengths:
            message = f"reuse.signal.ratios: {lengths[0]} ratios for a run of {context.num_steps} steps are stretched"
            hint = f"calibrate them for {context.num_steps} steps: cachedsl calibrate {signal.tap}"
            yield RULE.finding(message, context.span(stack, "reuse", "signal", "ratios"), hint)


CHECKS = (Check(RULE, check),)
