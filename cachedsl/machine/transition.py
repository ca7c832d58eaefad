"""The machine of one (stack, CFG branch): a pure transition function over an immutable snapshot.

`docs/machine.md` is the specification; the guards are in `guards.py`, in its order.
"""

from __future__ import annotations

from typing import Literal

from cachedsl.machine.events import (
    Action,
    ComputeUnit,
    DropHistory,
    Event,
    Failed,
    Measure,
    Observe,
    ReuseUnit,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    StoreAnchor,
    UnitDone,
    UnitMeasured,
    UnitReached,
)
from cachedsl.machine.guards import ADAPT_TO, STEP, UNIT, VALUE, Moment, first, refresh_falls_on
from cachedsl.machine.snapshot import Phase, Snapshot, has_reused, initial
from cachedsl.plan.ir import StackPlan
from cachedsl.text.finding import CachedslError


class InvalidTransition(CachedslError):
    """An event came in a phase that has no place for it."""


Result = tuple[Snapshot, tuple[Action, ...]]


def transition(plan: StackPlan, snapshot: Snapshot, event: Event) -> Result:
    """Take one event.

    Returns:
        The next snapshot, and what is asked of the executor.

    Raises:
        InvalidTransition: the event has no place in this phase; nothing is guessed.
    """
    if isinstance(event, Failed):
        return initial(plan), (DropHistory(),)
    handler = _HANDLERS.get((snapshot.phase, type(event)))
    if handler is None:
        raise InvalidTransition(
            f"{plan.shape.qualified}: {type(event).__name__} came while {snapshot.phase.value}, "
            f"step {snapshot.run_index}"
        )
    return handler(plan, snapshot, event)  # type: ignore[no-any-return, operator]


def _run_started(plan: StackPlan, snapshot: Snapshot, event: RunStarted) -> Result:
    return initial(plan)._replace(phase=Phase.IDLE, num_steps=event.num_steps), ()


def _run_ended(plan: StackPlan, snapshot: Snapshot, event: RunEnded) -> Result:
    return initial(plan), (DropHistory(),)


def _step_started(plan: StackPlan, snapshot: Snapshot, event: StepStarted) -> Result:
    if event.index <= snapshot.run_index:
        raise InvalidTransition(f"{plan.shape.qualified}: step {event.index} came after step {snapshot.run_index}")
    step = snapshot._replace(
        phase=Phase.STEPPING, run_index=event.index, reused_units=(), computed_units=(), measured=()
    )
    actions: tuple[Action, ...] = ()
    refreshed = refresh_falls_on(plan, step.step_index)
    if refreshed:
        actions = (DropHistory(),)
        step = step._replace(
            anchors=(0,) * len(plan.units),
            reused_total=0,
            reused_run=0,
            accumulated=0.0,
            drift=0.0,
            since_refresh=0,
        )
    signal = plan.signal
    if signal is not None and signal.observes:
        actions = (*actions, Observe(signal.tap))
    moment = Moment(plan, step, at=event.index, refreshed=refreshed, leader=event.leader_verdict)
    guard = first(STEP, moment)
    if guard is None:
        return step._replace(verdict="open", reason=""), actions
    if guard.verdict == "as the first branch":
        assert event.leader_verdict is not None, "the guard has seen that there is a leader"
        return step._replace(verdict=event.leader_verdict, reason=guard.reason), actions
    assert guard.verdict != "as the step", "a step has no other to go by"
    return step._replace(verdict=guard.verdict, reason=guard.reason), actions


def _unit_reached(plan: StackPlan, snapshot: Snapshot, event: UnitReached) -> Result:
    unit = event.unit
    if not 0 <= unit < len(plan.units):
        raise InvalidTransition(f"{plan.shape.qualified}: there is no unit {unit}, it has {len(plan.units)}")
    if snapshot.unit is not None or unit in (*snapshot.reused_units, *snapshot.computed_units):
        raise InvalidTransition(f"{plan.shape.qualified}: unit {unit} was reached twice, or inside another")
    step = snapshot
    dropped: tuple[Action, ...] = ()
    guard = first(UNIT, Moment(plan, step, unit=unit, shape_changed=event.shape_changed))
    if event.shape_changed:  # on a computed step too, which keeps its own reason
        step = step._replace(anchors=(0,) * len(plan.units), accumulated=0.0, drift=0.0)
        dropped = (DropHistory(),)
    if guard is None:
        return step._replace(phase=Phase.MEASURING, unit=unit), (Measure(unit),)
    verdict = snapshot.verdict if guard.verdict == "as the step" else guard.verdict
    assert verdict == "compute" or verdict == "reuse", "an open step decides nothing by itself"
    decided, actions = _decide(step, unit, verdict, guard.reason or snapshot.reason)
    return decided, (*dropped, *actions)


def _unit_measured(plan: StackPlan, snapshot: Snapshot, event: UnitMeasured) -> Result:
    unit = event.unit
    if unit != snapshot.unit:
        raise InvalidTransition(f"{plan.shape.qualified}: unit {unit} was measured, not {snapshot.unit}")
    step = snapshot._replace(phase=Phase.STEPPING)
    moment = Moment(plan, step, unit=unit, value=event.value)
    guard = first(VALUE, moment)
    assert guard is not None, "the last of them always fires"
    if guard.reason in COUNTED:
        step = step._replace(accumulated=step.accumulated + event.value, drift=moment.compared)
        prune = plan.rules.prune
        if prune is not None and prune.relax is not None:
            step = step._replace(measured=(*step.measured, event.value)[:ADAPT_TO])
    return _decide(step, unit, guard.verdict, guard.reason)  # type: ignore[arg-type]


COUNTED = ("below", "above")
"""Reasons whose values go into sums and limits: those of back blocks do not, nor what is not finite."""


def _decide(step: Snapshot, unit: int, verdict: Literal["compute", "reuse"], reason: str) -> Result:
    action = ReuseUnit(unit, reason) if verdict == "reuse" else ComputeUnit(unit, reason)
    return step._replace(phase=Phase.STEPPING, unit=unit, unit_verdict=verdict), (action,)


def _unit_done(plan: StackPlan, snapshot: Snapshot, event: UnitDone) -> Result:
    unit = event.unit
    if unit != snapshot.unit or snapshot.unit_verdict is None:
        raise InvalidTransition(f"{plan.shape.qualified}: unit {unit} is done, but {snapshot.unit} is in progress")
    if snapshot.unit_verdict == "reuse":
        return snapshot._replace(unit=None, unit_verdict=None, reused_units=(*snapshot.reused_units, unit)), ()
    anchors, prune = snapshot.anchors, plan.rules.prune
    actions: tuple[Action, ...] = (StoreAnchor(unit),)
    if prune is not None and anchors[unit] and snapshot.step_index % prune.update_interval:
        actions = ()  # what the block is reused with is replaced on every k-th step only
    else:
        anchors = (*anchors[:unit], anchors[unit] + 1, *anchors[unit + 1 :])
    computed = (*snapshot.computed_units, unit)
    return snapshot._replace(unit=None, unit_verdict=None, computed_units=computed, anchors=anchors), actions


def _step_ended(plan: StackPlan, snapshot: Snapshot, event: StepEnded) -> Result:
    if snapshot.unit is not None:
        raise InvalidTransition(f"{plan.shape.qualified}: the step ended inside unit {snapshot.unit}")
    reused = has_reused(plan, snapshot)
    seen = (*snapshot.reused_units, *snapshot.computed_units)
    zeroed = not reused and plan.rules.reset == "on_compute"
    lifelong = plan.signal is not None and plan.signal.accumulate == "lifetime"
    ended = snapshot._replace(
        phase=Phase.IDLE,
        step_index=snapshot.step_index + 1,
        since_refresh=snapshot.since_refresh + 1,
        reused_total=snapshot.reused_total + reused,
        reused_run=snapshot.reused_run + 1 if reused else 0,
        accumulated=0.0 if zeroed else snapshot.accumulated,
        drift=snapshot.drift if reused or lifelong else 0.0,
        absent=tuple([u.index for u in plan.units if u.index not in seen]),
    )
    return ended, ()


_HANDLERS = {
    (Phase.ENDED, RunStarted): _run_started,
    (Phase.IDLE, RunEnded): _run_ended,
    (Phase.IDLE, StepStarted): _step_started,
    (Phase.STEPPING, UnitReached): _unit_reached,
    (Phase.MEASURING, UnitMeasured): _unit_measured,
    (Phase.STEPPING, UnitDone): _unit_done,
    (Phase.STEPPING, StepEnded): _step_ended,
}
