"""Forecast, then calibrate: FoCa (arXiv 2508.16211), which integrates the features' ODE; exact on affine sequences.

The paper's predictor is BDF2 made explicit by the newest known slope (eq. 6 and 7), its corrector Heun's trapezoidal
rule (eq. 8). They are written there for one gap; here h is the distance to predict over, g the gap before the newest
anchor and w = h / g, which gives BDF2 its variable-step coefficients (at w = 1 the paper's 4/3, -1/3 and 2/3):

    slope    = Y[0,1] + g Y[0,1,2]                                       eq. 6: BDF2's derivative at the newest anchor
    forecast = ((1 + w)^2 Y_0 - w^2 Y_1 + h (1 + w) slope) / (1 + 2 w)   eq. 7
    result   = Y_0 + h / 2 (slope + (forecast - Y_0) / h)                eq. 8

Y[...] are divided differences on the true positions, newest first. The slope at the far end is the forecast's own
first difference: BDF2's derivative would return eq. 7's slope, and the corrector would correct nothing. With two
anchors the slope is Y[0,1], and the three lines are a linear forecast. On a quadratic the curvature is taken with its
sign and at less than its weight: the error is less than that of a linear forecast. Every step is taken from a computed
anchor in one go, never from a forecast.
"""

from __future__ import annotations

from collections import deque

import torch

from cachedsl.predictors.base import Predictor, wide

_ANCHORS = 3


class FocaPredictor(Predictor):
    """Steps from the newest of three anchors; linear with two anchors, with one it copies."""

    def __init__(self) -> None:
        self._anchors: deque[torch.Tensor] = deque(maxlen=_ANCHORS)
        self._positions: deque[float] = deque(maxlen=_ANCHORS)

    def update(self, value: torch.Tensor, position: float) -> None:
        self._anchors.appendleft(value)
        self._positions.appendleft(position)

    def predict(self, position: float) -> torch.Tensor:
        assert self._anchors, "predicted before the first anchor"
        newest = self._anchors[0]
        if len(self._anchors) == 1:
            return newest
        base = wide(newest)
        gap = self._positions[0] - self._positions[1]
        first = (base - self._anchors[1]) / gap
        slope = self._slope(first, gap)
        distance = position - self._positions[0]
        ratio = distance / gap
        # Both are changes since the newest anchor, so that a constant stays exactly what it is.
        forecast = distance * (ratio * first + (1 + ratio) * slope) / (1 + 2 * ratio)
        return (base + (distance * slope + forecast) / 2).to(newest.dtype)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(self._anchors)

    def _slope(self, first: torch.Tensor, gap: float) -> torch.Tensor:
        """Return the derivative at the newest anchor, of second order where three anchors allow it."""
        if len(self._anchors) < _ANCHORS:
            return first
        gap_before = self._positions[1] - self._positions[2]
        first_before = (self._anchors[1].to(first.dtype) - self._anchors[2]) / gap_before
        return first + (first - first_before) * (gap / (gap + gap_before))
