"""Extrapolate with backward differences: TaylorSeer (arXiv 2503.06923), exact on polynomials of its order.

The paper's eq. 6 sums D_j k^j / j! with D_{j+1} = (D_j - D_j') / gap. D_j is a backward difference, not the
derivative at the newest anchor, so from order 2 on that sum misses polynomials of its own degree (t^2 by -k). Newton's
backward formula takes the same differences and puts the rising product k (k + gap) ... (k + (j-1) gap) in place of
k^j: the same for order 1, exact for every order on evenly spaced anchors. `published` keeps the paper's sum.

A gap may be far from 1, as those between sigmas are, and D_j goes with gap^-j, beyond what float16 holds. What is held
are multiples of them, D_j = scale_j U_j, with numbers for scales: with m the larger of scale_j and scale_j',

    U_{j+1} = scale_j / 2m U_j - scale_j' / 2m U_j',   scale_{j+1} = 2m / gap

is no larger than U_j and U_j' are, whatever the gaps; where they are even it is half the plain difference.
"""

from __future__ import annotations

import torch

from cachedsl.predictors.base import Predictor, wide


def taylor(order: int, form: str) -> TaylorPredictor:
    """Return the predictor of that order, in the exact form or the published one."""
    return TaylorPredictor(order, published=form == "published")


class TaylorPredictor(Predictor):
    """Uses the highest order that the anchors so far allow, up to `order`; with one anchor it copies."""

    def __init__(self, order: int, *, published: bool = False) -> None:
        self._order = order
        self._published = published
        self._differences: list[torch.Tensor] = []
        self._scales: list[float] = []
        self._position = 0.0
        self._gap = 1.0

    def update(self, value: torch.Tensor, position: float) -> None:
        if self._differences and position == self._position:
            self._differences[0] = value  # nothing can be divided by no gap: it takes the place of the last one
            return
        fresh, scales = [value], [1.0]
        if self._differences:
            self._gap = position - self._position
            for older, older_scale in zip(self._differences[: self._order], self._scales, strict=False):
                both = 2 * max(abs(scales[-1]), abs(older_scale))
                difference = (scales[-1] / both) * wide(fresh[-1]) - (older_scale / both) * wide(older)
                fresh.append(difference.to(value.dtype))
                scales.append(both / self._gap)
        self._differences, self._scales = fresh, scales
        self._position = position

    def predict(self, position: float) -> torch.Tensor:
        assert self._differences, "predicted before the first anchor"
        newest, *differences = self._differences
        if not differences:
            return newest
        result = wide(newest)
        for weight, scale, difference in zip(
            self._weights(len(differences), position - self._position), self._scales[1:], differences, strict=True
        ):
            result = result + weight * scale * wide(difference)
        return result.to(newest.dtype)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(self._differences)

    def _weights(self, order: int, distance: float) -> list[float]:
        """Return what D_1 to D_order weigh so far beyond the newest anchor."""
        weights, weight = [], 1.0
        for j in range(order):
            weight *= (distance if self._published else distance + j * self._gap) / (j + 1)
            weights.append(weight)
        return weights
