"""Distances between a tap and its reference: dimensionless numbers, computed in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch

Weights = torch.Tensor | None
Metric = Callable[[torch.Tensor, torch.Tensor, Weights], torch.Tensor]


def relative_l1(now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
    """Measure `mean|now - reference| / mean|reference|`.

    Args:
        now: the tap of this step, any shape, float32.
        reference: the same shape.
        weights: 0 or 1 per token, `(batch, tokens, 1)`; None is 1 everywhere.

    Returns:
        A scalar; infinity or NaN where the reference has zero norm or either tensor is not finite.
    """
    return _sum((now - reference).abs(), weights) / _sum(reference.abs(), weights)


def relative_l2(now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
    """Measure `norm(now - reference) / norm(reference)`; arguments and result as in `relative_l1`."""
    return (_sum((now - reference).square(), weights) / _sum(reference.square(), weights)).sqrt()


def cosine(now: torch.Tensor, reference: torch.Tensor, weights: Weights = None) -> torch.Tensor:
    """Measure 1 minus the cosine of the angle between both; arguments and result as in `relative_l1`."""
    norms = (_sum(now.square(), weights) * _sum(reference.square(), weights)).sqrt()
    return 1 - _sum(now * reference, weights) / norms


def moved_tokens(now: torch.Tensor, reference: torch.Tensor, floor: float) -> torch.Tensor:
    """Tell which tokens moved by more than `floor`, relative L1 of each by itself; all of them where none did.

    Returns:
        `(batch, tokens, 1)` of 0 and 1.
    """
    moved = (now - reference).abs().mean(-1, keepdim=True) / reference.abs().mean(-1, keepdim=True) > floor
    return (moved | ~moved.any()).to(now.dtype)


def _sum(values: torch.Tensor, weights: Weights) -> torch.Tensor:
    return values.mean() if weights is None else (values * weights).mean()


METRICS: dict[str, Metric] = {"relative_l1": relative_l1, "relative_l2": relative_l2, "cosine": cosine}
