"""A run reuses something, unless it was asked not to."""

from __future__ import annotations

import math
from statistics import median

from cachedsl.rules.base import Check, Findings
from cachedsl.rules.run.facts import RunFacts, count, in_words, where
from cachedsl.text.finding import Rule, Span

RULE = Rule(
    "no-reuse",
    "run",
    "nothing was reused in a run",
    severity="warning",
    why="The policy made the run no faster, and a little slower.",
    bad="reuse: {threshold: 0.0001}",
    good="reuse: {threshold: 0.1}",
    category="performance",
)


def check(context: RunFacts) -> Findings:
    steps = context.steps
    if context.plan is None or not steps or _cut_short(context):
        return
    if any(s.outcome == "reused" for s in steps) or all(s.reason in ("exact", "no_unit") for s in steps):
        return
    span = Span(context.policy.name)
    measured = [s for s in steps if s.value is not None and math.isfinite(s.value)]
    if measured:
        values = [s.value for s in measured if s.value is not None]
        total = count(measured)
        yield RULE.finding(
            f"nothing was reused: {in_words(total)} {'was' if total == 1 else 'were'} measured{where(measured)}, "
            f"smallest {min(values):.4g}, median {median(values):.4g}, threshold {context.policy.reuse.threshold}; "
            "raise the threshold, or expect no speed-up here",
            span,
        )
        return
    reasons = sorted({s.reason for s in steps})
    yield RULE.finding(
        f"nothing was reused, and no step was open to it: all {count(steps)} were computed ({', '.join(reasons)})"
        f"{where(steps)}; {_way_out(set(reasons))}",
        span,
    )


def _cut_short(context: RunFacts) -> bool:
    """Tell whether the calls ended before the announced count was reached, which is said by itself."""
    expected, called = context.num_steps, context.called
    return expected is not None and bool(called) and max(called.values()) < expected


def _way_out(reasons: set[str]) -> str:
    if "shape_changed" in reasons:
        return "the shapes of what the blocks get change from step to step, so that there is nothing to go by"
    if "not_finite" in reasons:
        return "nothing that was measured was finite"
    return "the policy's warmup, tail or mask covers the whole run"


CHECKS = (Check(RULE, check),)
