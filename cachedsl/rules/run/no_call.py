"""A run calls its transformer."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings
from cachedsl.rules.run.facts import RunFacts
from cachedsl.text.finding import Rule, Span

RULE = Rule(
    "no-call",
    "run",
    "no transformer under the policy was called in the run",
    severity="warning",
    why="Another model computed the run, and the policy is not attached to that one.",
    bad="pipe.transformer = other  # while a policy is attached",
    good="cached.remove(); pipe.transformer = other; policy.apply(pipe)",
    category="suspicious",
)


def check(context: RunFacts) -> Findings:
    if (context.plan is None or not context.steps) and not context.uncached:
        yield RULE.finding(
            "no transformer under the policy was called; if another one was put in its place since, remove() the "
            "handle and apply the policy again",
            Span(context.policy.name),
        )


CHECKS = (Check(RULE, check),)
