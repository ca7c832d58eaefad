"""What runs: the tap as a function, the method as a predictor."""

from __future__ import annotations

import torch

from cachedsl.language.parts import Signal
from cachedsl.predictors.base import Predictor
from cachedsl.signals.base import StepView


def token_spread(view: StepView, signal: Signal) -> torch.Tensor:
    """Return the standard deviation over channels of what leaves the front blocks, `(batch, tokens, 1)`."""
    _, leave = view.front()
    return leave.std(-1, keepdim=True) ** signal.parameters["power"]


class DampedPredictor(Predictor):
    """`Y + damping (Y - Y')` of the last two computed results."""

    def __init__(self, damping: float) -> None:
        self._damping = damping
        self._anchors: list[torch.Tensor] = []

    def update(self, value: torch.Tensor, position: float) -> None:
        self._anchors = [*self._anchors[-1:], value]

    def predict(self, position: float) -> torch.Tensor:
        newest = self._anchors[-1]
        return newest if len(self._anchors) == 1 else newest + self._damping * (newest - self._anchors[0])

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(self._anchors)
