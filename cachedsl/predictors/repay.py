"""Take back, on the next reused steps, what the last gap's predictions were off by.

A sampler adds up what the model returns, so the errors of a gap's predictions add up too, mostly with one sign: they
shift the latent, and the shift stays. When the step after the gap is computed, what should have been predicted can be
told much better than before, by interpolation: the parabola through that step and the two computed before it. The sum
of the differences, each times the length of its step, is the debt; the reused steps that follow pay it back, so that
the latent returns to where it belongs. Explicit multistep methods with a corrector do the same, and need an evaluation
for it (Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, III.1); here it is one more tensor.

It counts on a sampler that goes by the present output alone, such as Euler; a multistep sampler (DPM-Solver++, UniPC)
mixes the repayment into its own differences.
"""

from __future__ import annotations

from collections import deque

import torch

from cachedsl.predictors.base import Predictor, wide
from cachedsl.predictors.newton import weights

_PARABOLA = 3


class RepayingPredictor(Predictor):
    """Predicts as `base` does, less a part of the debt.

    Args:
        base: the predictor; it never sees a repayment.
        share: of the outstanding debt, paid back on each reused step, above 0 and at most 1.
    """

    def __init__(self, base: Predictor, share: float) -> None:
        self.base = base
        self._share = share
        self._anchors: deque[tuple[float, torch.Tensor]] = deque(maxlen=_PARABOLA)
        self._debt: torch.Tensor | None = None
        self._gap: list[tuple[float, float]] = []
        self._sum: torch.Tensor | None = None
        self._last: tuple[float, torch.Tensor, torch.Tensor | None] | None = None
        self._length = 0.0
        self._seen: float | None = None

    @property
    def needs_probe(self) -> bool:  # type: ignore[override]
        return self.base.needs_probe

    def see(self, probe: torch.Tensor) -> None:
        self.base.see(probe)

    def update(self, value: torch.Tensor, position: float) -> None:
        self._pass(position)
        self._anchors.appendleft((position, value))
        if self._sum is not None:
            off = self._sum
            for weight, (_, anchor) in zip(self._weights(), self._anchors, strict=True):
                off = off - weight * wide(anchor)
            self._debt = off if self._debt is None else self._debt + off
        self._gap, self._sum = [], None
        self.base.update(value, position)

    def predict(self, position: float) -> torch.Tensor:
        self._pass(position)
        predicted = self.base.predict(position)
        paid = None if self._debt is None else self._debt * (self._share / self._length)
        self._last = (position, predicted, paid)
        return predicted if paid is None else (wide(predicted) - paid).to(predicted.dtype)

    def copied(self, value: torch.Tensor, position: float) -> None:
        """Take note that `value` stood in at `position`, without having been asked for."""
        self._pass(position)
        self._last = (position, value, None)

    def _pass(self, position: float) -> None:
        """Learn where the step after the last one is, and with it how long the last one was.

        Where a prediction was made for this very step, it was not used: the step is predicted again, or computed.
        """
        if self._last is not None and self._last[0] == position:
            self._last = None
            return
        if self._seen is not None:
            self._length = position - self._seen
        self._seen = position
        if self._last is None:
            return
        at, predicted, paid = self._last
        self._last = None
        self._gap.append((at, self._length))
        weighed = self._length * wide(predicted)
        self._sum = weighed if self._sum is None else self._sum + weighed
        if paid is not None:
            assert self._debt is not None, "only a debt is paid"
            self._debt = self._debt - self._length * paid

    def _weights(self) -> list[float]:
        """Return what each anchor weighs in the sum over the gap of the parabola, each step times its length."""
        positions = [position for position, _ in self._anchors]
        totals = [0.0] * len(positions)
        for at, length in self._gap:
            for i, weight in enumerate(weights(positions, at)):
                totals[i] += length * weight
        return totals

    def tensors(self) -> tuple[torch.Tensor, ...]:
        last = () if self._last is None else tuple(t for t in self._last[1:] if isinstance(t, torch.Tensor))
        own = [t for t in (self._debt, self._sum) if t is not None]
        return (*self.base.tensors(), *(value for _, value in self._anchors), *own, *last)
