"""Extrapolate with Dynamic Mode Decomposition: exact on constants, affine sequences and sums of exponentials.

DMD (Schmid 2010, J. Fluid Mech. 656; "exact DMD", Tu et al. 2014, arXiv 1312.0041) fits one linear operator A that
takes each snapshot to the next, and advances it by powers of its eigenvalues. The snapshots here are the differences
z_i = Y_{i+1} - Y_i between evenly spaced anchors. That costs one anchor and makes the operator's offset free: a
constant has no difference, an affine sequence has the plain eigenvalue 1 in place of a defective one (or, where its
offset and its slope are parallel, of none at all), and a fit that rank or ridge hold back falls short towards `copy`
rather than towards zero.

With X = [z_1 .. z_{n-1}] = U S V^T, X' = [z_2 .. z_n] and A = X' V S^+ U^T, the value k gaps past the newest anchor is

    Y + sum_{j=1..k} A^j z_n = Y + X' V S^+ W psi_k(L) W^-1 U^T z_n,   psi_k(l) = (l^k - 1) / (l - 1)

where U^T A U = W L W^-1, k need not be whole, and S^+ = S / (S^2 + (ridge S_1)^2) is Tikhonov's inverse of the leading
`rank` singular values. Everything but the last product needs the inner products of the z_i alone (Sirovich's method of
snapshots): they are summed in float64, and the fit is a matter of matrices no larger than `history`.

r exponentials, complex pairs counted as two, and a constant are reproduced from r + 2 anchors, provided that their
spatial patterns are linearly independent. Items of a batch are fitted each for itself. Singular values that the
anchors' dtype cannot tell from its rounding are left out; an item with nothing left is forecast linearly.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import torch

from cachedsl.predictors.base import Predictor
from cachedsl.predictors.taylor import TaylorPredictor
from cachedsl.signals.reduce import reduced_by_item

_FEWEST = 4
# How far two gaps may differ, relatively, and count as the same.
_EVEN = 1e-4
# Singular values count from this many roundings of the largest anchor on.
_NOISE = 4.0
# Features of an item that are turned to float64 at a time.
_CHUNK = 1 << 18


class DmdPredictor(Predictor):
    """Uses the evenly spaced among the newest anchors; while they are fewer than four, it is Taylor of order 1.

    Args:
        history: how many anchors are held, at least 4.
        rank: how many singular values are used at most; 0 leaves it to the spectrum.
        ridge: Tikhonov's parameter, relative to the largest singular value.
    """

    def __init__(self, history: int, rank: int, ridge: float) -> None:
        self._anchors: deque[torch.Tensor] = deque(maxlen=history)
        self._positions: deque[float] = deque(maxlen=history)
        self._rank = rank
        self._ridge = ridge
        self._fits: list[_Fit | None] | None = None

    def update(self, value: torch.Tensor, position: float) -> None:
        self._anchors.append(value)
        self._positions.append(position)
        self._fits = None

    def predict(self, position: float) -> torch.Tensor:
        assert self._anchors, "predicted before the first anchor"
        count = _evenly_spaced(list(self._positions))
        if count < _FEWEST:
            return self._taylor(position)
        anchors = list(self._anchors)[-count:]
        if self._fits is None:
            self._fits = [_fit(item, self._rank, self._ridge) for item in _snapshots(anchors)]
        gaps = (position - self._positions[-1]) / (self._positions[-1] - self._positions[-2])
        weights = torch.stack([_linear(count - 1, gaps) if fit is None else fit.weights(gaps) for fit in self._fits])
        return _advance(anchors, weights)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(self._anchors)

    def _taylor(self, position: float) -> torch.Tensor:
        taylor = TaylorPredictor(1)
        for anchor, anchored in list(zip(self._anchors, self._positions, strict=True))[-2:]:
            taylor.update(anchor, anchored)
        return taylor.predict(position)


@dataclass(frozen=True)
class _Snapshots:
    """What a fit needs to know of one batch item: its differences' inner products and the size of their rounding."""

    products: torch.Tensor
    noise: float


@dataclass(frozen=True)
class _Fit:
    """One batch item's modes, as sums of its differences: psi_k goes between `modes` and `amplitudes`."""

    eigenvalues: torch.Tensor
    modes: torch.Tensor
    amplitudes: torch.Tensor

    def weights(self, gaps: float) -> torch.Tensor:
        """Return the weight of each difference, oldest first, in the change over so many gaps."""
        later = (self.modes @ (_powers_summed(self.eigenvalues, gaps) * self.amplitudes)).real
        return torch.cat([later.new_zeros(1), later])


def _evenly_spaced(positions: list[float]) -> int:
    """Return how many of the newest positions are evenly spaced."""
    gaps = [b - a for a, b in pairwise(positions)]
    even = 0
    for gap in reversed(gaps):
        if not math.isclose(gap, gaps[-1], rel_tol=_EVEN):
            break
        even += 1
    return even + 1


def _snapshots(anchors: list[torch.Tensor]) -> list[_Snapshots]:
    """Sum the inner products of the anchors' differences in float64, a chunk of features at a time."""
    rows = [anchor.reshape(len(anchor), -1) for anchor in anchors]
    products = squares = torch.zeros((), dtype=torch.float64, device=anchors[0].device)
    for start in range(0, rows[0].shape[1], _CHUNK):
        values = torch.stack([row[:, start : start + _CHUNK] for row in rows], dim=1).double()
        differences = values.diff(dim=1)
        products = products + differences @ differences.mT
        squares = squares + values.square().sum(dim=2).amax(dim=1)
    # a rank of a process group may have a part of the features; what is fitted is the whole
    squares, products = torch.split(
        reduced_by_item(torch.cat([squares, products.flatten()])), [len(squares), products.numel()]
    )
    products = products.reshape(len(squares), *[len(anchors) - 1] * 2)
    noise = _NOISE * torch.finfo(anchors[0].dtype).eps * squares.sqrt()
    return [_Snapshots(item, float(floor)) for item, floor in zip(products.cpu(), noise.cpu(), strict=True)]


def _fit(snapshots: _Snapshots, rank: int, ridge: float) -> _Fit | None:
    """Fit one batch item's operator, or None where there is none to be had from these snapshots."""
    products = snapshots.products
    if not products.isfinite().all():
        return None
    squares, vectors = torch.linalg.eigh(products[:-1, :-1])
    singular, vectors = squares.clamp_min(0).sqrt().flip(0), vectors.flip(1)
    # Inner products square the condition number: below this, float64 leaves nothing of a singular value either.
    floor = max(snapshots.noise, float(singular[0]) * math.sqrt(torch.finfo(torch.float64).eps))
    kept = int((singular > floor).sum())
    kept = min(kept, rank) if rank > 0 else kept
    if not kept:
        return None
    singular, vectors = singular[:kept], vectors[:, :kept]
    left = (vectors / singular).mT
    inverse = vectors * (singular / (singular.square() + (ridge * singular[0]).square()))
    return _decompose(left @ products[:-1, 1:] @ inverse, inverse, left @ products[:-1, -1])


def _decompose(operator: torch.Tensor, inverse: torch.Tensor, newest: torch.Tensor) -> _Fit | None:
    """Diagonalise U^T A U, or None where its eigenvectors are too close to dependent to carry `newest`."""
    eigenvalues, eigenvectors = torch.linalg.eig(operator)
    amplitudes, info = torch.linalg.solve_ex(eigenvectors, newest.to(eigenvectors.dtype))
    residual = eigenvectors @ amplitudes - newest
    if int(info) or not float(residual.norm()) <= 1e-6 * float(newest.norm()):
        return None
    return _Fit(eigenvalues, inverse.to(eigenvectors.dtype) @ eigenvectors, amplitudes)


def _powers_summed(eigenvalues: torch.Tensor, gaps: float) -> torch.Tensor:
    """Return psi_k(l) = (l^k - 1) / (l - 1), the sum of the first k powers; k where l is 1."""
    excess = eigenvalues - 1
    near = excess.abs() < 1e-6
    series = gaps + gaps * (gaps - 1) / 2 * excess
    return torch.where(near, series, (eigenvalues**gaps - 1) / torch.where(near, 1.0, excess))


def _linear(count: int, gaps: float) -> torch.Tensor:
    """Return the weights of a linear forecast: the newest difference, once per gap."""
    weights = torch.zeros(count, dtype=torch.float64)
    weights[-1] = gaps
    return weights


def _advance(anchors: list[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """Add the weighted differences to the newest anchor; what is not finite stays as it was.

    Args:
        anchors: oldest first, each `(batch, tokens, channels)`.
        weights: `(batch, differences)`, float64, on the CPU.
    """
    newest = anchors[-1]
    dtype = torch.promote_types(newest.dtype, torch.float32)
    columns = weights.to(newest.device, dtype).reshape(*weights.shape, *[1] * (newest.dim() - 1)).unbind(1)
    result = newest.to(dtype)
    for weight, (before, after) in zip(columns, pairwise(anchors), strict=True):
        result = result + weight * (after.to(dtype) - before)
    cast = result.to(newest.dtype)
    return torch.where(cast.isfinite(), cast, newest)
