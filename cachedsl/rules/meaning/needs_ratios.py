"""A tap that goes by a parameter without a default needs it."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "needs-ratios",
    "meaning",
    "a signal lacks a parameter that has no default",
    why="`magnitude` measures nothing. It uses ratios that were calibrated on a pipeline. Without them there "
    "is no signal.",
    bad="reuse: {signal: magnitude}",
    good="reuse: {signal: {tap: magnitude, ratios: [1, 1.01, 0.99]}}",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        signal = (scope.tree.get("reuse") or {}).get("signal")
        if signal is None or scope.meant.prune is not None:
            continue
        meant = scope.meant.reuse.signal
        for name in meant.spec.requires:
            if meant.parameters[name] is None:
                yield RULE.finding(
                    f"reuse.signal: `{meant.tap}` needs its calibrated `{name}`, one a step",
                    context.span(*scope.path, "reuse", "signal"),
                    "give a list or a file, such as `cachedsl calibrate magnitude` writes",
                )


CHECKS = (Check(RULE, check),)
