"""One machine at work: its snapshot, and the features that its units hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attrs import evolve

from cachedsl.language.parts import ClockName
from cachedsl.machine.events import (
    Action,
    ComputeUnit,
    DropHistory,
    Event,
    Measure,
    ReuseUnit,
    RunStarted,
    StepStarted,
)
from cachedsl.machine.snapshot import Snapshot, initial
from cachedsl.machine.transition import transition
from cachedsl.plan.ir import StackPlan, Unit
from cachedsl.plan.rules import PredictPlan
from cachedsl.runtime.features import UnitFeatures
from cachedsl.runtime.storage import storage_of
from cachedsl.runtime.traits import Path
from cachedsl.signals import Meter, Setting, build_meter, compare


class Driver:
    """Feeds events to the machine of one (stack, CFG branch) and carries out what concerns its memory.

    Attributes:
        plan: the stack's.
        snapshot: what the machine knows.
        features: what each unit keeps.
        path: which blocks the loop called when they were asked one by one; None before that.
        signature: of the call at that time, see `decide.signature`.
        last: of the last call.
        moved: whether that has changed with it.
    """

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
        storage = storage_of(plan.rules.features)
        self.features = [UnitFeatures(self._predict(unit), self._meter(unit, setting), storage) for unit in plan.units]
        self._units = _units_by_block(plan)
        self.path: Path | None = None
        self.signature: object = None
        self.last: object = None
        self.moved = False
        self._observed: list[Callable[[Callable[[], torch.Tensor]], None]] = []
        self.feed(RunStarted(num_steps))

    def replan(self, plan: StackPlan, num_steps: int) -> None:
        """Go on by the same policy's plan of another step count; what is held stays."""
        self.plan, self.snapshot = plan, self.snapshot._replace(num_steps=num_steps)
        self._units = _units_by_block(plan)
        for features in self.features:
            if features.meter is not None:
                features.meter.replan(num_steps)

    @property
    def exact(self) -> bool:
        """Whether nothing will ever be reused, so that nothing need be held."""
        return self.plan.rules.exact

    @property
    def needs_probe(self) -> bool:
        """Whether what the front blocks add is predicted with."""
        return self.plan.rules.predict.taps_front and not self.exact

    @property
    def shows_modulated_input(self) -> bool:
        """Whether the first block's modulated input is compared."""
        return self.plan.signal is not None and self.plan.signal.source == "modulated_input"

    @property
    def known_before_call(self) -> bool:
        """Whether the signal goes by nothing that is inside the forward."""
        signal = self.plan.signal
        return signal is None or signal.source in ("schedule", "model_input")

    @property
    def is_span(self) -> bool:
        """Whether the stack has one unit, its middle as a whole, or none."""
        return all(unit.kind == "middle" for unit in self.plan.units)

    @property
    def clock(self) -> ClockName:
        """What the predictors measure distance in."""
        return self.plan.rules.predict.clock

    def unit_at(self, index: int) -> Unit | None:
        """Return the unit that block `index` is in, None where it always runs."""
        return self._units.get(index)

    def _predict(self, unit: Unit) -> PredictPlan:
        """Return how `unit` is predicted; only a middle as a whole pays back what it was off by."""
        predict = self.plan.rules.predict
        return predict if unit.kind == "middle" else evolve(predict, repay=0.0)

    def _meter(self, unit: Unit, setting: Setting) -> Meter | None:
        signal = self.plan.signal_of(unit)
        return None if signal is None else build_meter(signal, setting)

    def see(self, signature: object) -> None:
        """Take note of a call."""
        self.moved = self.last is not None and self.last != signature
        self.last = signature

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
        for action in actions:
            if isinstance(action, DropHistory):
                for features in self.features:
                    features.clear()
            elif isinstance(action, (ComputeUnit, ReuseUnit, Measure)):
                compare(lambda action=action: self._told(_verdict(action)))  # type: ignore[misc]
        if isinstance(event, StepStarted):
            compare(lambda: self._told(f"begins as {self.snapshot.verdict}"))
        return actions

    def _told(self, what: str) -> str:
        """Say what this machine has come to, for other ranks to compare."""
        return f"{self.plan.transformer}.{self.plan.name}, step {self.snapshot.run_index}: {what}"

    def restore(self, snapshot: Snapshot) -> None:
        """Take back what was told since `snapshot`, which turned out not to happen; what is held stays as it is."""
        self.snapshot = snapshot

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return every tensor that this machine's units hold."""
        return tuple(t for features in self.features for t in features.tensors())


def _units_by_block(plan: StackPlan) -> dict[int, Unit]:
    return {index: unit for unit in plan.units for index in range(unit.start, unit.stop)}


def _verdict(action: ComputeUnit | ReuseUnit | Measure) -> str:
    if isinstance(action, Measure):
        return f"measures unit {action.unit}"
    return f"{'reuses' if isinstance(action, ReuseUnit) else 'computes'} unit {action.unit} ({action.reason})"
