"""All that a machine knows between two events; a tuple, because the machine makes a new one at every event."""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple

from cachedsl.plan.ir import StackPlan, Verdict


class Phase(Enum):
    """What the machine is in the middle of."""

    ENDED = "ended"
    IDLE = "idle"
    STEPPING = "stepping"
    MEASURING = "measuring"


class Snapshot(NamedTuple):
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


def initial(plan: StackPlan) -> Snapshot:
    """Return the snapshot before any run."""
    return Snapshot(Phase.ENDED, anchors=(0,) * len(plan.units))


def has_reused(plan: StackPlan, step: Snapshot) -> bool:
    """Tell whether a unit was reused in this step; back blocks do not count."""
    return bool(step.reused_units) and any(plan.units[u].kind != "back" for u in step.reused_units)
