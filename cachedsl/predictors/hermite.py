"""Extrapolate in the physicists' Hermite basis: HiCache (arXiv 2508.16984), exact on constants.

HiCache keeps TaylorSeer's backward differences D_j (arXiv 2503.06923) and puts a contracted Hermite polynomial in place
of k^j, k steps after the newest anchor:

    Y + sum_j H~_j(k) D_j / j!,   H~_j(k) = scale^j H_j(scale k),   H_{j+1}(x) = 2 x H_j(x) - 2 j H_{j-1}(x)

with H_0 = 1 and H_1 = 2 x. `scale` is the paper's contraction sigma of its dual scaling: once within the argument,
once on the coefficient. What that means:

- Order 1 is a linear forecast with the slope times 2 scale^2: a half at the published 0.5, so halfway between `copy`
  and `taylor`; Taylor's at 1 / sqrt(2), where H~_j is the monic probabilists' polynomial He_j.
- An affine sequence has no differences past the first, however its anchors are spaced, so every order forecasts it as
  order 1 does: its error is |1 - 2 scale^2| times that of `copy`, never more for a scale from 0 to 1.
- Only constants are exact: an even H_j does not vanish at 0, so from order 2 on the forecast leaves Y even as k -> 0.
"""

from __future__ import annotations

from cachedsl.predictors.taylor import TaylorPredictor


class HermitePredictor(TaylorPredictor):
    """Taylor's differences under Hermite's weights: the highest order that the anchors allow; with one it copies.

    Args:
        order: the highest order, at least 1.
        scale: the contraction sigma, above 0 and at most 1 (past that it overshoots even affine sequences).
    """

    def __init__(self, order: int, scale: float) -> None:
        super().__init__(order)
        self._scale = scale

    def _weights(self, order: int, distance: float) -> list[float]:
        return _weights(order, self._scale, distance)


def _weights(order: int, scale: float, distance: float) -> list[float]:
    """Return scale^j H_j(scale distance) / j! for j from 1 to `order`."""
    x = scale * distance
    below, here = 1.0, 2 * x
    contraction = 1.0
    weights = []
    for j in range(1, order + 1):
        contraction *= scale / j
        weights.append(contraction * here)
        below, here = here, 2 * x * here - 2 * j * below
    return weights
