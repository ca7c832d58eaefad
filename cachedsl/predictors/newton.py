"""Extrapolate with Newton's divided differences: exact on polynomials of its order, however the anchors are spaced.

The interpolating polynomial in Newton's form is P(x) = sum_j Y[x_0..x_j] (x - x_0) ... (x - x_{j-1}) with
Y[x_i..x_j] = (Y[x_i..x_{j-1}] - Y[x_{i+1}..x_j]) / (x_i - x_j) on the true positions; Taylor's forecast (TaylorSeer,
arXiv 2503.06923, eq. 6) is its evenly spaced case. Every divided difference is a sum of anchors, and collecting each
anchor's terms leaves the weight w_i = prod_{m != i} (x - x_m) / (x_i - x_m). The weights sum to 1, so that
P(x) = Y_0 + sum_i w_i (Y_i - Y_0): only the anchors are held, in their own dtype, and constants stay exact.
"""

from __future__ import annotations

from collections import deque

import torch

from cachedsl.predictors.base import Predictor, wide


class NewtonPredictor(Predictor):
    """Uses the newest anchors, up to `order` + 1 of them; with one anchor it copies."""

    def __init__(self, order: int) -> None:
        self._anchors: deque[torch.Tensor] = deque(maxlen=order + 1)
        self._positions: deque[float] = deque(maxlen=order + 1)

    def update(self, value: torch.Tensor, position: float) -> None:
        self._anchors.appendleft(value)
        self._positions.appendleft(position)

    def predict(self, position: float) -> torch.Tensor:
        assert self._anchors, "predicted before the first anchor"
        newest = self._anchors[0]
        if len(self._anchors) == 1:
            return newest
        base = wide(newest)
        result = base
        for weight, anchor in list(zip(weights(list(self._positions), position), self._anchors, strict=True))[1:]:
            result = result + weight * (anchor - base)
        return result.to(newest.dtype)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(self._anchors)


def weights(positions: list[float], position: float) -> list[float]:
    """Return what each anchor weighs in the interpolating polynomial's value at `position`."""
    found = []
    for i, here in enumerate(positions):
        weight = 1.0
        for m, other in enumerate(positions):
            if m != i:
                weight *= (position - other) / (here - other)
        found.append(weight)
    return found
