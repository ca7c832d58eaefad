"""The meter of every signal that compares a tensor with itself at a reference: the parts are put together here."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cachedsl.language.parts import Signal
from cachedsl.signals.base import StepView, polynomial
from cachedsl.signals.metrics import METRICS, moved_tokens

Tap = Callable[[StepView, Signal], torch.Tensor]


class TensorMeter:
    """`metric(tap now, tap at the reference)`, then `rescale`.

    Args:
        tap: returns what is compared, of a step.
        signal: reference, metric, rescale, stride and token floor.
    """

    def __init__(self, tap: Tap, signal: Signal) -> None:
        self._tap = tap
        self._signal = signal
        self._reference: torch.Tensor | None = None

    def look(self, view: StepView) -> torch.Tensor:
        taken = self._tap(view, self._signal).detach()
        return taken if self._signal.stride == 1 else taken[..., :: self._signal.stride].clone()

    def measure(self, now: torch.Tensor) -> float:
        assert self._reference is not None, "an open step has an anchor, and anchors have a reference"
        signal, current, reference = self._signal, now.float(), self._reference.float()
        weights = moved_tokens(current, reference, signal.token_floor) if signal.token_floor else None
        return polynomial(signal.rescale, float(METRICS[signal.metric](current, reference, weights).item()))

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
