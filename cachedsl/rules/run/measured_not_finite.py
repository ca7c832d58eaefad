"""What is measured is finite."""

from __future__ import annotations

from cachedsl.language.refusals import NOT_FINITE
from cachedsl.rules.base import Check, Findings
from cachedsl.rules.run.facts import RunFacts
from cachedsl.text.finding import Span


def check(context: RunFacts) -> Findings:
    bad = [(s, sum(u.reason == "not_finite" for u in s.units)) for s in context.steps]
    bad = [(s, count) for s, count in bad if count]
    total = sum(count for _, count in bad)
    if total:
        where = ", ".join(f"{s.stack} {s.branch} step {s.step}" for s, _ in bad[:3])
        yield NOT_FINITE.finding(
            f"{total} measurement{'s were' if total != 1 else ' was'} not finite and what they were taken for was "
            f"computed (first: {where}); the model's activations overflow, or a reference was all zeros",
            Span(context.policy.name),
            severity="warning",
        )


CHECKS = (Check(NOT_FINITE, check, "run"),)
