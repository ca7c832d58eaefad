"""One machine at work: its snapshot, and the features that its units hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attrs import evolve

from cachedsl.machine.events import Action, DropHistory, Event, RunStarted
from cachedsl.machine.snapshot import Snapshot, initial
from cachedsl.machine.transition import transition
from cachedsl.plan.ir import PredictPlan, StackPlan, Unit
from cachedsl.runtime.features import UnitFeatures
from cachedsl.signals import Meter, Setting, build_meter


class Driver:
    """Feeds events to the machine of one (stack, CFG branch) and carries out what concerns its memory."""

    def __init__(
        self,
        plan: StackPlan,
        num_steps: int | None,
        branch: str = "",
        offset: int = 0,
        full: int | None = None,
    ) -> None:
        self.plan = plan
        self.snapshot: Snapshot = initial(plan)
        setting = Setting(num_steps, branch, offset, full)
        self.features = [UnitFeatures(self._predict(unit), self._meter(unit, setting)) for unit in plan.units]
        self._observed: list[Callable[[Callable[[], torch.Tensor]], None]] = []
        self.feed(RunStarted(num_steps))

    def replan(self, plan: StackPlan, num_steps: int) -> None:
        """Go on by the same policy's plan of another step count; what is held stays."""
        self.plan, self.snapshot = plan, self.snapshot._replace(num_steps=num_steps)
        for features in self.features:
            if features.meter is not None:
                features.meter.replan(num_steps)

    def _predict(self, unit: Unit) -> PredictPlan:
        """Return how `unit` is predicted; only a middle as a whole pays back what it was off by."""
        predict = self.plan.rules.predict
        return predict if unit.kind == "middle" else evolve(predict, repay=0.0)

    def _meter(self, unit: Unit, setting: Setting) -> Meter | None:
        signal = self.plan.signal_of(unit)
        return None if signal is None else build_meter(signal, setting)

    def observe_later(self, meter: Meter, now: Any, computed: bool) -> None:
        """Let `meter` take tap `now` as the step before the next, once the forward has returned."""
        self._observed.append(lambda output: meter.observe(now, output, computed))

    def forward_ended(self, output: Callable[[], torch.Tensor]) -> None:
        """Do what `observe_later` was asked for; `output` returns what the transformer did."""
        for observe in self._observed:
            observe(output)
        self._observed = []

    def feed(self, event: Event) -> tuple[Action, ...]:
        """Take one event; returns the machine's actions, of which `DropHistory` is already done."""
        self.snapshot, actions = transition(self.plan, self.snapshot, event)
        if any(isinstance(action, DropHistory) for action in actions):
            for features in self.features:
                features.clear()
        return actions

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return every tensor that this machine's units hold."""
        return tuple(t for features in self.features for t in features.tensors())
