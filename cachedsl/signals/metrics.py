"""Distances between a tap and its reference: dimensionless numbers, made of sums in float32."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

Weights = torch.Tensor | None


class Metric(ABC):
    """One distance, in two halves: sums over the elements, and the number that is made of them."""

    def __call__(self, now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
        """Measure the distance.

        Args:
            now: the tap of this step, any shape, float32.
            reference: the same shape.
            weights: 0 or 1 per token, `(batch, tokens, 1)`; None is 1 everywhere.

        Returns:
            A scalar; infinity or NaN where the reference has zero norm or either tensor is not finite.
        """
        return self.value(self.parts(now, reference, weights))

    @abstractmethod
    def parts(self, now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
        """Return the sums, `(n,)`; arguments as in a call."""

    @abstractmethod
    def value(self, parts: torch.Tensor) -> torch.Tensor:
        """Return the scalar that the sums come to."""


class _RelativeL1(Metric):
    """`sum|now - reference| / sum|reference|`."""

    def parts(self, now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
        return torch.stack([_sum((now - reference).abs(), weights), _sum(reference.abs(), weights)])

    def value(self, parts: torch.Tensor) -> torch.Tensor:
        return parts[0] / parts[1]


class _RelativeL2(Metric):
    """`norm(now - reference) / norm(reference)`."""

    def parts(self, now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
        return torch.stack([_sum((now - reference).square(), weights), _sum(reference.square(), weights)])

    def value(self, parts: torch.Tensor) -> torch.Tensor:
        return (parts[0] / parts[1]).sqrt()


class _Cosine(Metric):
    """1 minus the cosine of the angle between both."""

    def parts(self, now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
        squares = [_sum(now.square(), weights), _sum(reference.square(), weights)]
        return torch.stack([_sum(now * reference, weights), *squares])

    def value(self, parts: torch.Tensor) -> torch.Tensor:
        return 1 - parts[0] / (parts[1] * parts[2]).sqrt()


relative_l1, relative_l2, cosine = _RelativeL1(), _RelativeL2(), _Cosine()


class Moved(Metric):
    """`metric` over the tokens that moved by more than `floor`; over all of them where none did, on any rank."""

    def __init__(self, metric: Metric, floor: float) -> None:
        self._metric, self._floor = metric, floor

    def parts(self, now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
        moved = _moved(now, reference, self._floor).to(now.dtype)
        both = [self._metric.parts(now, reference, moved), self._metric.parts(now, reference)]
        return torch.cat([*both, moved.sum()[None]])

    def value(self, parts: torch.Tensor) -> torch.Tensor:
        half = len(parts) // 2
        moved, everything = (self._metric.value(part) for part in (parts[:half], parts[half:-1]))
        return torch.where(parts[-1] > 0, moved, everything)


def moved_tokens(now: torch.Tensor, reference: torch.Tensor, floor: float) -> torch.Tensor:
    """Tell which tokens moved by more than `floor`, relative L1 of each by itself; all of them where none did.

    Returns:
        `(batch, tokens, 1)` of 0 and 1, for tokens that are all here.
    """
    moved = _moved(now, reference, floor)
    return (moved | ~moved.any()).to(now.dtype)


def _moved(now: torch.Tensor, reference: torch.Tensor, floor: float) -> torch.Tensor:
    return (now - reference).abs().mean(-1, keepdim=True) / reference.abs().mean(-1, keepdim=True) > floor


def _sum(values: torch.Tensor, weights: Weights) -> torch.Tensor:
    return values.sum() if weights is None else (values * weights).sum()


METRICS: dict[str, Metric] = {"relative_l1": relative_l1, "relative_l2": relative_l2, "cosine": cosine}
