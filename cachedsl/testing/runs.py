"""Assert on what a run reused, by its trace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cachedsl.testing.words import checked_steps, steps_words
from cachedsl.trace import RunRecord, StepRecord, Trace


class Traced(Protocol):
    """What has a trace: the handle of an attached policy."""

    @property
    def trace(self) -> Trace: ...


def assert_reused(
    cached: Traced | Trace,
    steps: Iterable[int] | None = None,
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    stack: str | None = None,
    branch: str | None = None,
    run: int | None = None,
) -> tuple[StepRecord, ...]:
    """Assert which steps a run reused, in each block list and branch, and return the records looked at.

    Args:
        cached: the handle of an attached policy, or a trace, such as one that was read from JSON Lines.
        steps: exactly these steps, from 0, were reused; an empty list is none.
        at_least: at least so many steps were reused.
        at_most: at most so many.
        stack: look at this block list only, `blocks` or `transformer.blocks`; else at each.
        branch: look at this CFG branch only; else at each.
        run: the run's number as the trace has it; else the last one.

    Raises:
        AssertionError: with everything that does not hold, one line each, and what the steps came to.
        ValueError: nothing is asserted, or the trace has no such run, block list or branch.
    """
    __tracebackhide__ = True
    if steps is None and at_least is None and at_most is None:
        raise ValueError("assert_reused: nothing is asserted; give steps, at_least or at_most")
    wanted = None if steps is None else checked_steps("steps", steps, None)
    groups = _groups(cached if isinstance(cached, Trace) else cached.trace, stack, branch, run)
    wrong: list[str] = []
    for name, records in groups.items():
        reused = sorted(record.step for record in records if record.outcome == "reused")
        if wanted is not None:
            wrong += _unlike(name, wanted, records)
        if at_least is not None and len(reused) < at_least:
            wrong.append(f"{name}: expected at least {at_least} reused steps, got {len(reused)}")
        if at_most is not None and len(reused) > at_most:
            wrong.append(f"{name}: expected at most {at_most} reused steps, got {len(reused)}")
    if wrong:
        bits = [f"  {name}: {''.join('10'[r.outcome == 'reused'] for r in rows)}" for name, rows in groups.items()]
        lines = ["what the run reused:", *(f"  {line}" for line in wrong), "steps (1 computed, 0 reused):", *bits]
        raise AssertionError("\n".join(lines))
    return tuple(record for records in groups.values() for record in records)


def _groups(trace: Trace, stack: str | None, branch: str | None, run: int | None) -> dict[str, list[StepRecord]]:
    runs = [record.run for record in trace if isinstance(record, RunRecord)]
    if not runs or (run is not None and run not in runs):
        there = ", ".join(map(str, dict.fromkeys(runs))) or "none; call the pipeline before asserting"
        raise ValueError(f"run: the trace has no run {'' if run is None else run}".rstrip() + f"; there are {there}")
    rows = trace.steps(run=runs[-1] if run is None else run)
    groups: dict[str, list[StepRecord]] = {}
    for row in rows:
        if stack in (None, row.stack, f"{row.transformer}.{row.stack}") and branch in (None, row.branch):
            loop = f" loop {row.loop}" if row.loop else ""
            groups.setdefault(f"{row.transformer}.{row.stack} [{row.branch}]{loop}", []).append(row)
    if not groups:
        there = ", ".join(dict.fromkeys(f"{r.transformer}.{r.stack} [{r.branch}]" for r in rows)) or "none"
        raise ValueError(f"the run has no steps of stack {stack!r} and branch {branch!r}; there are {there}")
    return groups


def _unlike(name: str, wanted: tuple[int, ...], records: list[StepRecord]) -> list[str]:
    by_step = {record.step: record for record in records}
    wrong = []
    missing = [step for step in wanted if step not in by_step]
    if missing:
        wrong.append(f"{name}: {steps_words(missing)}: expected reused, but the run has no such step")
    for outcome, off in (
        ("computed", [step for step in wanted if step in by_step and by_step[step].outcome != "reused"]),
        ("reused", sorted(s for s, r in by_step.items() if r.outcome == "reused" and s not in wanted)),
    ):
        if off:
            other = "reused" if outcome == "computed" else "computed"
            reasons = ", ".join(dict.fromkeys(by_step[step].reason for step in off))
            wrong.append(f"{name}: {steps_words(off)}: expected {other}, was {outcome} ({reasons})")
    return wrong
