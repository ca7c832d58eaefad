"""The weights of a run are those that it began with."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings
from cachedsl.rules.run.facts import RunFacts, count
from cachedsl.text.finding import Rule, Span

RULE = Rule(
    "weights-changed",
    "run",
    "the weights, their adapters or dtypes were changed in the middle of a run",
    severity="warning",
    why="What was computed with other weights is not reused, so each change costs computed steps.",
    bad="callback_on_step_end: pipe.set_adapters('style', 1 - step / steps)",
    good="pipe.set_adapters('style', 0.8)  # before the run",
)


def check(context: RunFacts) -> Findings:
    steps = context.changed_at
    if not steps:
        return
    total = count(context.steps)
    first = f"first before step {steps[0]}" if len(steps) > 1 else f"before step {steps[0]}"
    yield RULE.finding(
        f"the weights, adapters or dtypes were changed {len(steps)} time{'s' * (len(steps) != 1)} in a run of {total} "
        f"steps, {first}; what was kept was dropped there, and the next step computed; change them between runs",
        Span(context.policy.name),
    )


CHECKS = (Check(RULE, check),)
