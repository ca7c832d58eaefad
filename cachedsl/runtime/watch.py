"""Look at a finished run for what should not pass in silence: no reuse, unexpected calls, measurements gone wrong.

There is at most one warning of a kind for a run. It counts what it names, and its advice is one that works.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from attrs import field, frozen

from cachedsl.language.policy import Policy
from cachedsl.plan.ir import Plan
from cachedsl.trace import StepRecord, Trace, WarningRecord


@frozen
class RunFacts:
    """What is known of a finished run beside its trace.

    Attributes:
        run: its number.
        plan: its last loop's plan, None where no call came to it.
        policy: the policy that it went by.
        uncached: why calls ran uncached, and how many.
        alternated: calls were told apart by their order alone.
        doubled: calls that looked like another branch's, where `cfg: fused` says there is none.
        new_noise: it ended because the next call had a latent of new noise.
        told: the caller told the step count; else the pipeline or its scheduler did.
    """

    run: int
    plan: Plan | None
    policy: Policy
    uncached: Mapping[str, int] = field(factory=dict)
    alternated: bool = False
    doubled: int = 0
    told: bool = False
    new_noise: bool = False


def findings(trace: Trace, facts: RunFacts) -> Iterator[WarningRecord]:
    """Yield one warning for each thing that makes a run differ from what its policy is for."""
    run, plan = facts.run, facts.plan
    steps = trace.steps(run=run)
    steps = tuple(s for s in steps if s.loop == steps[-1].loop)  # what goes before the last loop may be of another kind
    if facts.uncached:
        yield uncached_calls(run, facts.uncached, None if plan is None else plan.num_inference_steps)
    if plan is None or not steps:
        if not facts.uncached:
            yield WarningRecord(
                run,
                "no-call",
                "no transformer under the policy was called; if the pipeline was given another one since, remove() the "
                "handle and apply the policy again",
            )
        return
    calls = _calls(steps, facts, plan)
    yield from _lists(steps, run, plan)
    if not (calls is not None and _cut_short(steps, plan)):
        yield from _reuse(steps, facts)
    if calls is not None:
        yield WarningRecord(run, "calls-differ", calls)
    yield from _finite(steps, run)


_WHY = {
    "callback": "a callback made",
    "nested": "a hook inside the transformer's own call made",
    "pipeline": "another pipeline that shares the transformer made",
    "thread": "another thread made",
    "stranger": "another image's loop made, as their arguments tell",
    "again": "came for a step that was over",
    "branches": "went beyond the branches that a step may have",
}


def uncached_calls(run: int, uncached: Mapping[str, int], num_steps: int | None) -> WarningRecord:
    """Return the warning about calls that belonged to no step of the run, which ran uncached."""
    if set(uncached) == {"past_end"}:
        return WarningRecord(
            run,
            "uncached",
            f"calls go on behind the last of the {num_steps} steps that were told, and run uncached; tell the count "
            "that the loop has: apply(..., num_inference_steps=...) or run(steps=...)",
        )
    total = sum(uncached.values())
    reasons = ", ".join(f"{count} that {_WHY.get(why, why)}" for why, count in uncached.items() if why != "past_end")
    if "past_end" in uncached:
        reasons += f", {uncached['past_end']} behind the last of {num_steps} steps"
    return WarningRecord(
        run,
        "uncached",
        f"{total} call{'s' * (total != 1)} ran uncached, being no part of the run's loop: {reasons}; the run itself is "
        "as it would be without them",
    )


def _reuse(steps: tuple[StepRecord, ...], facts: RunFacts) -> Iterator[WarningRecord]:
    if any(s.outcome == "reused" for s in steps) or all(s.reason in ("exact", "no_unit") for s in steps):
        return
    measured = [s for s in steps if s.value is not None and math.isfinite(s.value)]
    if measured:
        values = [s.value for s in measured if s.value is not None]
        yield WarningRecord(
            facts.run,
            "no-reuse",
            f"nothing was reused: {_plural(_count(measured))} measured{_where(measured)}, smallest {min(values):.4g}, "
            f"median {median(values):.4g}, threshold {facts.policy.reuse.threshold}; raise the threshold, or expect no "
            "speed-up here",
        )
        return
    reasons = sorted({s.reason for s in steps})
    yield WarningRecord(
        facts.run,
        "no-reuse",
        f"nothing was reused, and no step was open to it: all {_count(steps)} were computed ({', '.join(reasons)})"
        f"{_where(steps)}; " + _way_out(set(reasons)),
    )


def _way_out(reasons: set[str]) -> str:
    if "shape_changed" in reasons:
        return "the shapes of what the blocks get change from step to step, so that there is nothing to go by"
    if "not_finite" in reasons:
        return "nothing that was measured was finite"
    return "the policy's warmup, tail or mask covers the whole run"


def _plural(steps: int) -> str:
    return f"{steps} step was" if steps == 1 else f"{steps} steps were"


def _count(steps: Sequence[StepRecord]) -> int:
    return len({s.step for s in steps})


def _where(steps: Sequence[StepRecord]) -> str:
    """Say of how many lists and branches steps are, where it is more than one."""
    lists, branches = len({(s.transformer, s.stack) for s in steps}), len({s.branch for s in steps})
    several = [f"{lists} block lists"] * (lists > 1) + [f"{branches} branches"] * (branches > 1)
    return f", in each of {' and '.join(several)}" if several else ""


def _lists(steps: tuple[StepRecord, ...], run: int, plan: Plan) -> Iterator[WarningRecord]:
    """A loop that calls no block of any list through the list goes past us."""
    if any(stack.units for stack in plan.stacks) and not any(s.blocks_run or s.outcome == "reused" for s in steps):
        names = ", ".join(dict.fromkeys(f"{s.transformer}.{s.stack}" for s in steps))
        yield WarningRecord(
            run,
            "no-block",
            f"no block of {names} was called through its list, so all ran uncached; the adapter must name the lists "
            "that the model's loop goes over, and the loop must call their blocks",
        )


def _called(steps: tuple[StepRecord, ...]) -> dict[str, int]:
    """Return on how many steps each branch was called, summed over a pipeline's transformers."""
    return {branch: len({s.step for s in steps if s.branch == branch}) for branch in {s.branch: None for s in steps}}


def _cut_short(steps: tuple[StepRecord, ...], plan: Plan) -> bool:
    """Tell whether the calls ended before the announced count was reached, on every branch."""
    expected = plan.num_inference_steps
    return expected is not None and max(_called(steps).values()) < expected


def _calls(steps: tuple[StepRecord, ...], facts: RunFacts, plan: Plan) -> str | None:
    """Compare the calls of every branch with the announced step count; None where they are as many."""
    expected = plan.num_inference_steps
    counts = _called(steps)
    if expected is None:
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
                f"if the run was left or interrupted, nothing is wrong; if the loop has {_steps(longest)}, tell that "
                f"count where you told {expected}"
            )
        return f"the transformer was called on {said} of a run of {expected}; {way_out}"
    fewer = " and ".join(f"branch {name} was called on {_steps(n)}" for name, n in counts.items() if n != expected)
    on_purpose = "if the pipeline does that on purpose (guidance in an interval), nothing is wrong"
    return f"{fewer} of a run of {expected}; {on_purpose}"


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def _said(counts: Mapping[str, int]) -> str:
    if len(set(counts.values())) == 1:
        return _steps(next(iter(counts.values()))) + (f" in each of {len(counts)} branches" if len(counts) > 1 else "")
    return ", ".join(f"{_steps(seen)} (branch {branch})" for branch, seen in counts.items())


def _finite(steps: tuple[StepRecord, ...], run: int) -> Iterator[WarningRecord]:
    bad = [(s, sum(u.reason == "not_finite" for u in s.units)) for s in steps]
    bad = [(s, count) for s, count in bad if count]
    total = sum(count for _, count in bad)
    if total:
        where = ", ".join(f"{s.stack} {s.branch} step {s.step}" for s, _ in bad[:3])
        yield WarningRecord(
            run,
            "not-finite",
            f"{total} measurement{'s were' if total != 1 else ' was'} not finite and what they were taken for was "
            f"computed (first: {where}); the model's activations overflow, or a reference was all zeros",
        )
