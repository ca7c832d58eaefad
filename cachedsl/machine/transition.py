"""The machine of one (stack, CFG branch): a pure transition function over an immutable snapshot.

`docs/machine.md` is the specification; the guards below stand in its order.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Literal

from attrs import evolve, frozen

from cachedsl.diagnostics import CachedslError
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
    Verdict,
)
from cachedsl.machine.plan import StackPlan


class InvalidTransition(CachedslError):
    """An event came in a phase that has no place for it."""


class Phase(Enum):
    """What the machine is in the middle of."""

    ENDED = "ended"
    IDLE = "idle"
    STEPPING = "stepping"
    MEASURING = "measuring"


@frozen
class Snapshot:
    """All that a machine knows.

    Attributes:
        phase: what it is in the middle of.
        num_steps: the run's step count, where it was announced.
        step_index: steps of this run that this machine has ended, so the own index of the one in progress.
        run_index: the run's index of the step in progress, or of the last one.
        verdict: of the step in progress.
        reason: of that verdict; empty while it is open.
        reused_total: reused steps since the last refresh.
        reused_run: reused steps in a row.
        accumulated: sum of the finite measured values since it was last zeroed.
        drift: what an accumulating signal compares with the threshold: its values since the last computed step, or
            over the run.
        anchors: computed results per unit since the last drop.
        since_refresh: own steps since the last refresh.
        unit: the unit in progress.
        unit_verdict: what was decided for it.
        reused_units: units reused in the step in progress.
        computed_units: units computed in the step in progress.
        measured: the first values measured in the step in progress, where a threshold adapts to them.
        absent: units that the last step did not reach, because the model's loop left their blocks out.
    """

    phase: Phase
    num_steps: int | None = None
    step_index: int = 0
    run_index: int = -1
    verdict: Verdict = "compute"
    reason: str = ""
    reused_total: int = 0
    reused_run: int = 0
    accumulated: float = 0.0
    drift: float = 0.0
    anchors: tuple[int, ...] = ()
    since_refresh: int = 0
    unit: int | None = None
    unit_verdict: Literal["compute", "reuse"] | None = None
    reused_units: tuple[int, ...] = ()
    computed_units: tuple[int, ...] = ()
    measured: tuple[float, ...] = ()
    absent: tuple[int, ...] = ()


Result = tuple[Snapshot, tuple[Action, ...]]


def initial(plan: StackPlan) -> Snapshot:
    """Return the snapshot before any run."""
    return Snapshot(Phase.ENDED, anchors=(0,) * len(plan.units))


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
    return evolve(initial(plan), phase=Phase.IDLE, num_steps=event.num_steps), ()


def _run_ended(plan: StackPlan, snapshot: Snapshot, event: RunEnded) -> Result:
    return initial(plan), (DropHistory(),)


def _step_started(plan: StackPlan, snapshot: Snapshot, event: StepStarted) -> Result:
    if event.index <= snapshot.run_index:
        raise InvalidTransition(f"{plan.shape.qualified}: step {event.index} came after step {snapshot.run_index}")
    step = evolve(
        snapshot, phase=Phase.STEPPING, run_index=event.index, reused_units=(), computed_units=(), measured=()
    )
    actions: tuple[Action, ...] = ()
    refreshed = refresh_falls_on(plan, step.step_index)
    if refreshed:
        actions = (DropHistory(),)
        step = evolve(
            step,
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
    verdict, reason = _step_verdict(plan, step, event, refreshed)
    return evolve(step, verdict=verdict, reason=reason), actions


def _step_verdict(plan: StackPlan, step: Snapshot, event: StepStarted, refreshed: bool) -> tuple[Verdict, str]:
    """Guards 1 to 13, in order; the first that fires decides."""
    forced = _forced(plan, step, event.index, refreshed)
    if forced is not None:
        return "compute", forced
    reuse, mask = plan.policy.reuse, plan.policy.steps
    if mask is not None and mask.otherwise == "static":
        return "reuse", "scheduled"
    if reuse.threshold == "always":
        return "reuse", "static"
    if event.leader_verdict is not None:
        return event.leader_verdict, "followed"
    return "open", ""


def _forced(plan: StackPlan, step: Snapshot, index: int, refreshed: bool) -> str | None:
    """Guards 1 to 9: the reason for which a step must be computed, or None."""
    policy, reuse = plan.policy, plan.policy.reuse
    if reuse.threshold == 0:
        return "exact"
    if refreshed:
        return "refresh"
    expected = [count for unit, count in enumerate(step.anchors) if unit not in step.absent]
    if any(count < plan.anchors_needed for count in expected) or (step.anchors and not expected):
        return "no_history"
    if in_warmup(plan, step.since_refresh):
        return "warmup"
    if step.num_steps is not None and index >= step.num_steps:
        return "past_end"
    if policy.tail and step.num_steps is not None and index >= step.num_steps - policy.tail:
        return "tail"
    if mask_bit(plan, index) == "1":
        return "scheduled"
    if reuse.max_total is not None and step.reused_total >= reuse.max_total:
        return "max_total"
    if reuse.max_continuous is not None and step.reused_run >= reuse.max_continuous:
        return "max_continuous"
    if reuse.max_accumulated is not None and step.accumulated >= reuse.max_accumulated.limit:
        return "max_accumulated"
    return None


def refresh_falls_on(plan: StackPlan, own_index: int) -> bool:
    """Tell whether history is dropped before this machine's own step `own_index`."""
    refresh = plan.policy.refresh
    if refresh is None or own_index == 0:
        return False
    return own_index % refresh.at == 0 if refresh.repeat else own_index == refresh.at


def in_warmup(plan: StackPlan, since_refresh: int) -> bool:
    """Tell whether warmup forces the step that is `since_refresh` own steps after the last refresh."""
    return since_refresh < warmup_length(plan) and since_refresh % plan.policy.warmup.interval == 0


def warmup_length(plan: StackPlan) -> int:
    """Return how many steps warmup spans: with a mask, at most its leading run of ones."""
    steps = plan.policy.warmup.steps
    return steps if plan.mask is None else min(steps, len(plan.mask) - len(plan.mask.lstrip("1")))


def mask_bit(plan: StackPlan, index: int) -> str | None:
    """Return the mask's bit for the run's step `index`, None without a mask; past its end it computes."""
    if plan.mask is None:
        return None
    return plan.mask[index] if index < len(plan.mask) else "1"


def _unit_reached(plan: StackPlan, snapshot: Snapshot, event: UnitReached) -> Result:
    """Guards 14 to 17; on an open step the unit is measured."""
    unit = event.unit
    if not 0 <= unit < len(plan.units):
        raise InvalidTransition(f"{plan.shape.qualified}: there is no unit {unit}, it has {len(plan.units)}")
    if snapshot.unit is not None or unit in (*snapshot.reused_units, *snapshot.computed_units):
        raise InvalidTransition(f"{plan.shape.qualified}: unit {unit} was reached twice, or inside another")
    step = evolve(snapshot, unit=unit)
    if event.shape_changed:
        step = evolve(step, anchors=(0,) * len(plan.units), accumulated=0.0, drift=0.0)
        reason = snapshot.reason if snapshot.verdict == "compute" else "shape_changed"
        decided, actions = _compute(step, unit, reason)
        return decided, (DropHistory(), *actions)
    if snapshot.verdict == "compute":
        return _compute(step, unit, snapshot.reason)
    if plan.units[unit].kind == "back":
        return _back_reached(plan, step, unit)
    if not step.anchors[unit]:
        return _compute(step, unit, "no_history")
    if snapshot.verdict == "reuse":
        return _reuse(step, unit, snapshot.reason)
    return evolve(step, phase=Phase.MEASURING), (Measure(unit),)


def _back_reached(plan: StackPlan, step: Snapshot, unit: int) -> Result:
    """Let a back block run on a computed step, and decide by its own input on a reused one."""
    if not _has_reused(plan, step):
        return _compute(step, unit, "computed")
    if not step.anchors[unit]:
        return _compute(step, unit, "no_history")
    return evolve(step, phase=Phase.MEASURING), (Measure(unit),)


def _has_reused(plan: StackPlan, step: Snapshot) -> bool:
    return any(plan.units[unit].kind != "back" for unit in step.reused_units)


def _unit_measured(plan: StackPlan, snapshot: Snapshot, event: UnitMeasured) -> Result:
    """Guards 18 to 20."""
    if event.unit != snapshot.unit:
        raise InvalidTransition(f"{plan.shape.qualified}: unit {event.unit} was measured, not {snapshot.unit}")
    step = evolve(snapshot, phase=Phase.STEPPING)
    if not math.isfinite(event.value):
        return _compute(step, event.unit, "not_finite")
    if plan.units[event.unit].kind == "back":
        bound = plan.policy.compute.back_threshold
        assert bound is not None, "the checks have seen that back units have a threshold"
        moved = event.value >= bound
        return _compute(step, event.unit, "back_above") if moved else _reuse(step, event.unit, "back_below")
    threshold = unit_threshold(plan, step.measured)
    signal = plan.signal
    assert signal is not None, "only what has a signal is measured"
    compared = event.value if signal.accumulate == "none" else step.drift + event.value
    step = evolve(step, accumulated=step.accumulated + event.value, drift=compared)
    if plan.policy.prune is not None and plan.policy.prune.dynamic is not None:
        step = evolve(step, measured=(*step.measured, event.value)[:ADAPT_TO])
    if compared < threshold:
        return _reuse(step, event.unit, "below")
    return _compute(step, event.unit, "above")


ADAPT_TO = 5
"""How many of a step's first values a dynamic threshold goes by."""


def unit_threshold(plan: StackPlan, measured: tuple[float, ...]) -> float:
    """Return the threshold of the next unit, given what was measured before it in the same step.

    With `dynamic` it is `relax` times the mean of the positive ones among the first five values, where that lies
    between the threshold and `max`; else the threshold.
    """
    threshold = plan.policy.reuse.threshold
    assert threshold != "always", "an unconditional step measures nothing"
    dynamic = plan.policy.prune.dynamic if plan.policy.prune is not None else None
    positive = [value for value in measured if value > 0]
    if dynamic is None or not positive:
        return threshold
    relaxed = dynamic.relax * sum(positive) / len(positive)
    bound = 2 * threshold if dynamic.max is None else dynamic.max
    return relaxed if threshold < relaxed < bound else threshold


def _compute(step: Snapshot, unit: int, reason: str) -> Result:
    return evolve(step, unit_verdict="compute"), (ComputeUnit(unit, reason),)


def _reuse(step: Snapshot, unit: int, reason: str) -> Result:
    return evolve(step, unit_verdict="reuse"), (ReuseUnit(unit, reason),)


def _unit_done(plan: StackPlan, snapshot: Snapshot, event: UnitDone) -> Result:
    unit = event.unit
    if unit != snapshot.unit or snapshot.unit_verdict is None:
        raise InvalidTransition(f"{plan.shape.qualified}: unit {unit} is done, but {snapshot.unit} is in progress")
    step = evolve(snapshot, unit=None, unit_verdict=None)
    if snapshot.unit_verdict == "reuse":
        return evolve(step, reused_units=(*step.reused_units, unit)), ()
    step = evolve(step, computed_units=(*step.computed_units, unit))
    prune = plan.policy.prune
    if prune is not None and step.anchors[unit] and step.step_index % prune.update_interval:
        return step, ()  # what the block is reused with is replaced on every k-th step only
    anchors = tuple(count + (i == unit) for i, count in enumerate(step.anchors))
    return evolve(step, anchors=anchors), (StoreAnchor(unit),)


def _step_ended(plan: StackPlan, snapshot: Snapshot, event: StepEnded) -> Result:
    if snapshot.unit is not None:
        raise InvalidTransition(f"{plan.shape.qualified}: the step ended inside unit {snapshot.unit}")
    reused = _has_reused(plan, snapshot)
    limit = plan.policy.reuse.max_accumulated
    zeroed = not reused and (limit is None or limit.reset == "on_compute")
    lifelong = plan.signal is not None and plan.signal.accumulate == "lifetime"
    ended = evolve(
        snapshot,
        phase=Phase.IDLE,
        step_index=snapshot.step_index + 1,
        since_refresh=snapshot.since_refresh + 1,
        reused_total=snapshot.reused_total + reused,
        reused_run=snapshot.reused_run + 1 if reused else 0,
        accumulated=0.0 if zeroed else snapshot.accumulated,
        drift=snapshot.drift if reused or lifelong else 0.0,
        absent=tuple(u.index for u in plan.units if u.index not in (*snapshot.reused_units, *snapshot.computed_units)),
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
