"""Drive a machine without a model: give it values, see what it would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from attrs import frozen

from cachedsl.machine.events import (
    ComputeUnit,
    Measure,
    ReuseUnit,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    UnitDone,
    UnitMeasured,
    UnitReached,
)
from cachedsl.machine.snapshot import Snapshot, initial
from cachedsl.machine.transition import transition
from cachedsl.plan.ir import StackPlan


@frozen
class UnitOutcome:
    """What became of one unit; `value` is None where nothing was measured."""

    unit: int
    verdict: Literal["compute", "reuse"]
    reason: str
    value: float | None


@frozen
class StepOutcome:
    """What became of one step: `reuse` when any middle unit was reused."""

    step: int
    verdict: Literal["compute", "reuse"]
    units: tuple[UnitOutcome, ...]

    @property
    def reason(self) -> str:
        """The reason of the unit that tells: the first reused one, else the first."""
        telling = [u for u in self.units if u.verdict == self.verdict] or list(self.units)
        return telling[0].reason if telling else "no_unit"


def simulate(plan: StackPlan, value: Callable[[int, int], float], num_steps: int) -> tuple[StepOutcome, ...]:
    """Run one machine over `num_steps` steps.

    Args:
        plan: the stack's plan.
        value: called with step and unit, returns what would be measured.
        num_steps: of the run.
    """
    state, _ = transition(plan, initial(plan), RunStarted(num_steps))
    outcomes = []
    for index in range(num_steps):
        state, outcome = take_step(plan, state, index, value)
        outcomes.append(outcome)
    transition(plan, state, RunEnded())
    return tuple(outcomes)


def take_step(
    plan: StackPlan, state: Snapshot, index: int, value: Callable[[int, int], float]
) -> tuple[Snapshot, StepOutcome]:
    """Take the run's step `index` from an idle `state`, every unit in turn; `value` as in `simulate`."""
    state, _ = transition(plan, state, StepStarted(index))
    units = []
    for unit in plan.units:
        measured = None
        state, actions = transition(plan, state, UnitReached(unit.index))
        if any(isinstance(action, Measure) for action in actions):
            measured = value(index, unit.index)
            state, actions = transition(plan, state, UnitMeasured(unit.index, measured))
        decided = next(a for a in actions if isinstance(a, (ComputeUnit, ReuseUnit)))
        verdict: Literal["compute", "reuse"] = "reuse" if isinstance(decided, ReuseUnit) else "compute"
        units.append(UnitOutcome(unit.index, verdict, decided.reason, measured))
        state, _ = transition(plan, state, UnitDone(unit.index))
    state, _ = transition(plan, state, StepEnded())
    reused = any(u.verdict == "reuse" and plan.units[u.unit].kind != "back" for u in units)
    return state, StepOutcome(index, "reuse" if reused else "compute", tuple(units))
