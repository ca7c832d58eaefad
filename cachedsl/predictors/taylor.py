"""Extrapolate with backward differences: TaylorSeer (arXiv 2503.06923), exact on polynomials of its order.

The paper's eq. 6 sums D_j k^j / j! with D_{j+1} = (D_j - D_j') / gap. D_j is a backward difference, not the
derivative at the newest anchor, so from order 2 on that sum misses polynomials of its own degree (t^2 by -k). Newton's
backward formula takes the same differences and puts the rising product k (k + gap) ... (k + (j-1) gap) in place of
k^j: the same for order 1, exact for every order on evenly spaced anchors. `published` keeps the paper's sum.
"""

from __future__ import annotations

import torch

from cachedsl.predictors.base import Predictor


class TaylorPredictor(Predictor):
    """Uses the highest order that the anchors so far allow, up to `order`; with one anchor it copies."""

    def __init__(self, order: int, *, published: bool = False) -> None:
        self._order = order
        self._published = published
        self._differences: list[torch.Tensor] = []
        self._position = 0.0
        self._gap = 1.0

    def update(self, value: torch.Tensor, position: float) -> None:
        fresh = [value]
        if self._differences:
            self._gap = position - self._position
            for older in self._differences[: self._order]:
                fresh.append((fresh[-1] - older) / self._gap)
        self._differences = fresh
        self._position = position

    def predict(self, position: float) -> torch.Tensor:
        assert self._differences, "predicted before the first anchor"
        newest, *differences = self._differences
        if not differences:
            return newest
        distance = position - self._position
        result, weight = newest.float(), 1.0
        for j, difference in enumerate(differences):
            weight *= (distance if self._published else distance + j * self._gap) / (j + 1)
            result = result + weight * difference.float()
        return result.to(newest.dtype)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(self._differences)
