"""Distances between a tap and its reference: dimensionless numbers, computed in float32."""

from __future__ import annotations

import torch


def relative_l1(now: torch.Tensor, reference: torch.Tensor) -> float:
    """Measure `mean|now - reference| / mean|reference|` (LANGUAGE §3), one scalar read.

    Args:
        now: the tap of this step, any shape and floating dtype.
        reference: the same shape.

    Returns:
        A float; infinity or NaN where the reference has zero norm or either tensor is not finite.
    """
    reference = reference.float()
    difference = (now.float() - reference).abs().mean()
    return float((difference / reference.abs().mean()).item())
