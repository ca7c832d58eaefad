"""Look at a transformer call before it is made: what its pipeline, its scheduler and its arguments show."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from attrs import define
from torch import nn

from cachedsl.runtime.observation import CallContext, CallFingerprint, Observation, PlaceState, Schedule
from cachedsl.runtime.origin import origin_of_call
from cachedsl.runtime.owner import current_owner

Read = Callable[[], CallFingerprint | None]


@define(eq=False)
class Observer:
    """Looks at the calls of one run.

    Attributes:
        scheduler: the pipeline's, or None for a bare transformer.
        announced: returns the pipeline's own count of the steps of its loop, or None.
        pipeline: the attached pipeline, whose call the run is; None for a bare transformer.
        callbacks: the code of the callbacks that the pipeline's call was given.
        whole: the code of the call itself.
    """

    scheduler: Any = None
    announced: Callable[[], int | None] = lambda: None
    pipeline: Any = None
    callbacks: frozenset[CodeType] = frozenset()
    whole: CodeType | None = None
    _seen: Any = None
    _number: int = 0
    _table: tuple[float, ...] = ()

    def observe(
        self, state: PlaceState, component: str, module: nn.Module | None, context: CallContext | None, read: Read
    ) -> Observation:
        """Return what there is to see of a call of `module`; `read` tells what it was given, where that is needed."""
        origin = (
            "loop"
            if module is None
            else origin_of_call(module, self.pipeline, self.callbacks, self.whole)  # frames are cheap to walk
        )
        announced = self.announced()
        schedule = self._schedule(announced)
        fingerprint = read() if origin == "loop" and _needs(state, component, context, schedule) else None
        if fingerprint is not None and schedule is not None and self._wants_table(schedule, announced):
            schedule = self._with_table(schedule)
        return Observation(component, current_owner().number, origin, context, schedule, announced, fingerprint)

    def _schedule(self, announced: int | None) -> Schedule | None:
        scheduler = self.scheduler
        if scheduler is None:
            return None
        timesteps = getattr(scheduler, "timesteps", None)
        stable = timesteps is getattr(scheduler, "timesteps", None)  # a property may make one each time
        if timesteps is not self._seen:
            self._seen, self._number, self._table = timesteps, self._number + 1, ()
        index = getattr(scheduler, "step_index", None)
        return Schedule(
            length=None if timesteps is None else len(timesteps),
            number=self._number if stable and timesteps is not None else None,
            step_index=None if index is None else int(index),
            steps=hasattr(scheduler, "step_index"),
            begin_index=getattr(scheduler, "begin_index", None),
        )

    def _wants_table(self, schedule: Schedule, announced: int | None) -> bool:
        """Tell whether the loop may begin in the middle of the schedule without anyone saying so."""
        return bool(schedule.length) and schedule.begin_index is None and announced != schedule.length

    def _with_table(self, schedule: Schedule) -> Schedule:
        if not self._table:
            self._table = tuple(float(value) for value in _listed(self._seen))
        return Schedule(
            schedule.length, schedule.number, schedule.step_index, schedule.steps, schedule.begin_index, self._table
        )


def _needs(state: PlaceState, component: str, context: CallContext | None, schedule: Schedule | None) -> bool:
    """Tell whether a call is placed by what it was given, which waits for the device.

    Where the step is shown, that is so only for calls without a name, of which a step has several.
    """
    shown = schedule is not None and schedule.step_index is not None
    if not shown and (context is None or context.step_index is None):
        return True
    return context is None and sum(where == component for where, _ in state.last) > 1


def _listed(timesteps: Any) -> list[Any]:
    """Return a table's values, with one wait for its device."""
    return timesteps.tolist() if hasattr(timesteps, "tolist") else list(timesteps)
