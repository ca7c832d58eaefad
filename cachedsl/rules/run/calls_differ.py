"""A run has as many steps as were told."""

from __future__ import annotations

from collections.abc import Mapping

from cachedsl.rules.base import Check, Findings
from cachedsl.rules.run.facts import RunFacts, in_words
from cachedsl.text.finding import Rule, Span

RULE = Rule(
    "calls-differ",
    "run",
    "the transformer was called on another number of steps than was announced",
    severity="warning",
    why="Masks, tails and shares of the run depend on the step count. With another count they apply to other "
    "steps than you meant.",
    bad="with cached.run(steps=50): ...  # a loop of 28 steps",
    good="with cached.run(steps=28): ...",
    category="suspicious",
)


def check(context: RunFacts) -> Findings:
    message = None if context.plan is None else _differs(context)
    if message is not None:
        yield RULE.finding(message, Span(context.policy.name))


def _differs(facts: RunFacts) -> str | None:
    """Compare the calls of every branch with the announced step count; None where they are as many."""
    expected, counts = facts.num_steps, facts.called
    if expected is None or not counts:
        return None
    if facts.doubled > expected / 4 or (facts.policy.cfg.mode == "fused" and set(counts.values()) == {2 * expected}):
        return (
            f"under cfg: fused every call is a step, and the transformer was called twice a step or so in a run of "
            f"{expected} steps; if it is called once for each CFG branch, set cfg: separate (or auto)"
        )
    if all(seen == expected for seen in counts.values()):
        return None
    if facts.alternated and len(counts) == 2 and sum(counts.values()) == expected:
        return (
            f"the transformer was called {expected} times in a run of {expected} steps, and the calls were taken for "
            f"{' and '.join(counts)} in turn; if it is called once a step, set cfg: fused"
        )
    said = _said(counts)
    longest = max(counts.values())
    if longest > expected:
        return (
            f"the transformer was called on {said} of a run of {expected}; what is behind the last step was computed; "
            "if the loop has more steps, tell its count"
        )
    if longest < expected:
        if facts.new_noise:
            way_out = (
                "the next call's latent is of new noise, so it was taken for another image's; if the sampler draws "
                "noise at every step, say where a run begins and ends: with cached.run(steps=...)"
            )
        elif not facts.told:
            way_out = "if it was interrupted, or the pipeline ends its loop early on purpose, nothing is wrong"
        else:
            way_out = (
                f"if the run was left or interrupted, nothing is wrong; if the loop has {in_words(longest)}, tell that "
                f"count where you told {expected}"
            )
        return f"the transformer was called on {said} of a run of {expected}; {way_out}"
    fewer = " and ".join(f"branch {name} was called on {in_words(n)}" for name, n in counts.items() if n != expected)
    on_purpose = "if the pipeline does that on purpose (guidance in an interval), nothing is wrong"
    return f"{fewer} of a run of {expected}; {on_purpose}"


def _said(counts: Mapping[str, int]) -> str:
    if len(set(counts.values())) == 1:
        return in_words(next(iter(counts.values()))) + (
            f" in each of {len(counts)} branches" if len(counts) > 1 else ""
        )
    return ", ".join(f"{in_words(seen)} (branch {branch})" for branch, seen in counts.items())


CHECKS = (Check(RULE, check),)
