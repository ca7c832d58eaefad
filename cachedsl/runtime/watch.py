"""Look at a finished run for what should not pass in silence: no reuse, unexpected calls, measurements gone wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from cachedsl.plan.ir import Plan
from cachedsl.trace import StepRecord, Trace, WarningRecord

_MEASURED = ("above", "below", "not_finite")


def findings(trace: Trace, run: int, plan: Plan | None) -> Iterator[WarningRecord]:
    """Yield one warning for each thing that makes a run differ from what its policy is for."""
    steps = trace.steps(run=run)
    steps = tuple(s for s in steps if s.loop == steps[-1].loop)  # what goes before the last loop may be of another kind
    if plan is None or not steps:
        yield WarningRecord(
            run,
            "no-call",
            "no transformer under the policy was called; if the pipeline was given another one since, remove() the "
            "handle and apply the policy again",
        )
        return
    yield from _lists(steps, run, plan)
    yield from _reuse(steps, run, plan)
    yield from _calls(steps, run, plan)
    yield from _finite(steps, run)


def _reuse(steps: tuple[StepRecord, ...], run: int, plan: Plan) -> Iterator[WarningRecord]:
    if any(s.outcome == "reused" for s in steps) or all(s.reason in ("exact", "no_unit") for s in steps):
        return
    measured = [s.value for s in steps if s.value is not None and math.isfinite(s.value)]
    if measured:
        threshold = plan.stacks[0].rules.threshold
        yield WarningRecord(
            run,
            "no-reuse",
            f"nothing was reused: {len(measured)} steps were measured, smallest {min(measured):.4g}, median "
            f"{median(measured):.4g}, threshold {threshold}; raise the threshold, or expect no speed-up here",
        )
    else:
        reasons = ", ".join(sorted({s.reason for s in steps}))
        yield WarningRecord(
            run,
            "no-reuse",
            f"nothing was reused, and no step was open to it: all {len(steps)} were computed ({reasons}); the policy's "
            "warmup, tail or mask covers the whole run",
        )


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


def _calls(steps: tuple[StepRecord, ...], run: int, plan: Plan) -> Iterator[WarningRecord]:
    """Compare the calls of every branch with the announced step count, summed over a pipeline's transformers."""
    expected = plan.num_inference_steps
    if expected is None:
        return
    counts = {branch: len({s.step for s in steps if s.branch == branch}) for branch in {s.branch: None for s in steps}}
    if len(counts) == 2 and sum(counts.values()) == expected:
        yield WarningRecord(
            run,
            "calls-differ",
            f"the transformer was called {expected} times in a run of {expected} steps, and the calls were taken for "
            f"{' and '.join(counts)} in turn; if it is called once a step, set cfg: fused",
        )
        return
    for branch, seen in counts.items():
        if seen != expected:
            yield WarningRecord(
                run,
                "calls-differ",
                f"branch {branch} was called on {seen} steps of a run of {expected}; if the pipeline does that on "
                "purpose (guidance in an interval, an early end), nothing is wrong",
            )


def _finite(steps: tuple[StepRecord, ...], run: int) -> Iterator[WarningRecord]:
    bad = [s for s in steps if any(u.reason == "not_finite" for u in s.units)]
    if bad:
        where = ", ".join(f"{s.stack} {s.branch} step {s.step}" for s in bad[:3])
        yield WarningRecord(
            run,
            "not-finite",
            f"{len(bad)} measurements were not finite and their steps were computed (first: {where}); the model's "
            "activations overflow, or a reference was all zeros",
        )
