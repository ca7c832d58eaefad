"""The meter of every signal that compares a tensor with itself at a reference: the parts are put together here."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cachedsl.language.parts import Signal
from cachedsl.signals.base import Meter, StepView, polynomial
from cachedsl.signals.metrics import METRICS, Moved
from cachedsl.signals.reduce import Sums

Tap = Callable[[StepView, Signal], torch.Tensor]


class TensorMeter(Meter):
    """`metric(tap now, tap at the reference)`, then `rescale`.

    Args:
        tap: returns what is compared, of a step.
        signal: reference, metric, rescale, stride and token floor.
    """

    def __init__(self, tap: Tap, signal: Signal) -> None:
        self._tap = tap
        self._signal = signal
        metric = METRICS[signal.metric]
        self._metric = Moved(metric, signal.token_floor) if signal.token_floor else metric
        self._reference: torch.Tensor | None = None

    def look(self, view: StepView) -> torch.Tensor:
        taken = self._tap(view, self._signal).detach()
        return taken if self._signal.stride == 1 else taken[..., :: self._signal.stride].clone()

    def sums(self, now: torch.Tensor) -> Sums:
        assert self._reference is not None, "an open step has an anchor, and anchors have a reference"
        parts = self._metric.parts(now.float(), self._reference.float())
        return Sums(parts, self._metric.value, lambda value: polynomial(self._signal.rescale, value))

    def keep(self, now: torch.Tensor) -> None:
        if self._signal.reference == "last_computed":
            self._reference = now

    def observe(self, now: torch.Tensor, output: Callable[[], torch.Tensor], computed: bool) -> None:
        if self._signal.reference == "previous_step":
            self._reference = now

    def replan(self, num_steps: int) -> None:
        """Do nothing: no step count is gone by."""

    def clear(self) -> None:
        self._reference = None

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return () if self._reference is None else (self._reference,)
