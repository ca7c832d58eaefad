"""What can be known of every step before the run: the machine itself, walked over all outcomes of open steps."""

from __future__ import annotations

from attrs import evolve

from cachedsl.machine.events import Measure, RunStarted, StepEnded, StepStarted, UnitDone, UnitMeasured, UnitReached
from cachedsl.machine.plan import StackPlan, StepEntry
from cachedsl.machine.transition import Snapshot, initial, transition


def step_table(plan: StackPlan, num_steps: int) -> tuple[StepEntry, ...]:
    """Return one entry per step for a machine that sees every step from 0, as a leading branch.

    An entry is `open` where the verdict depends on what will be measured. Where the verdict is certain but not its
    reason, the possible reasons are joined by a slash.
    """
    started, _ = transition(plan, initial(plan), RunStarted(num_steps))
    states = {started}
    table = []
    for index in range(num_steps):
        begun = [transition(plan, state, StepStarted(index))[0] for state in states]
        table.append(_entry(begun))
        states = {_essence(plan, after) for state in begun for after in _outcomes(plan, state)}
    return tuple(table)


def _entry(begun: list[Snapshot]) -> StepEntry:
    verdicts = {state.verdict for state in begun}
    if len(verdicts) > 1 or "open" in verdicts:
        return StepEntry("open")
    return StepEntry(verdicts.pop(), "/".join(sorted({state.reason for state in begun})))


def _outcomes(plan: StackPlan, begun: Snapshot) -> list[Snapshot]:
    """End the step in every way in which it can end: an open one reused or computed, and near or far from a limit."""
    if begun.verdict != "open":
        return [_finish(plan, begun, 0.0)]
    threshold = plan.policy.reuse.threshold
    assert threshold != "always"
    below = [_finish(plan, begun, 0.0)]
    above = [_finish(plan, begun, threshold)]
    limit = plan.policy.reuse.max_accumulated
    far = [evolve(s, accumulated=limit.limit) for s in (*below, *above) if limit and s.accumulated < limit.limit]
    return [*below, *above, *[s for s in far if s.reused_run or (limit and limit.reset == "never")]]


def _finish(plan: StackPlan, state: Snapshot, value: float) -> Snapshot:
    for unit in plan.units:
        if unit.kind == "back":
            continue
        state, actions = transition(plan, state, UnitReached(unit.index))
        if any(isinstance(action, Measure) for action in actions):
            state, _ = transition(plan, state, UnitMeasured(unit.index, value))
        state, _ = transition(plan, state, UnitDone(unit.index))
    return transition(plan, state, StepEnded())[0]


def _essence(plan: StackPlan, state: Snapshot) -> Snapshot:
    """Merge states that no guard can tell apart."""
    reuse = plan.policy.reuse
    return evolve(
        state,
        reused_total=0 if reuse.max_total is None else state.reused_total,
        reused_run=0 if reuse.max_continuous is None else state.reused_run,
        accumulated=0.0 if reuse.max_accumulated is None else min(state.accumulated, reuse.max_accumulated.limit),
        anchors=tuple(min(count, 1) for count in state.anchors),
        reused_units=(),
        computed_units=(),
        verdict="compute",
        reason="",
    )
