"""Calls that are no part of the run are said."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings
from cachedsl.rules.run.facts import RunFacts
from cachedsl.text.finding import Rule, Span

RULE = Rule(
    "uncached",
    "run",
    "calls that belong to no step of the run, and ran uncached",
    severity="warning",
    why="A call from a callback, a hook or another loop must not change what the denoising loop returns. So it "
    "runs uncached, and nothing of it is kept.",
    bad="a callback that calls pipe.transformer(...)",
    good="detach for that call, or give it a model of its own",
    category="performance",
)


_WHY = {
    "callback": "a callback made",
    "nested": "a hook inside the transformer's own call made",
    "pipeline": "another pipeline that shares the transformer made",
    "thread": "another thread made",
    "stranger": "another image's loop made, as their arguments tell",
    "again": "came for a step that was over",
    "branches": "went beyond the branches that a step may have",
}


def check(context: RunFacts) -> Findings:
    uncached, num_steps = context.uncached, context.num_steps
    if not uncached:
        return
    span = Span(context.policy.name)
    if set(uncached) == {"past_end"}:
        yield RULE.finding(
            f"calls go on behind the last of the {num_steps} steps that were told, and run uncached; tell the count "
            "that the loop has: apply(..., num_inference_steps=...) or run(steps=...)",
            span,
        )
        return
    total = sum(uncached.values())
    reasons = ", ".join(f"{count} that {_WHY.get(why, why)}" for why, count in uncached.items() if why != "past_end")
    if "past_end" in uncached:
        reasons += f", {uncached['past_end']} behind the last of {num_steps} steps"
    yield RULE.finding(
        f"{total} call{'s' * (total != 1)} ran uncached, being no part of the run's loop: {reasons}; the run itself is "
        "as it would be without them",
        span,
    )


CHECKS = (Check(RULE, check),)
