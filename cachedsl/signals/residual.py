"""The front blocks' residual: First Block Cache (ParaAttention) with one front block, DBCache with more."""

from __future__ import annotations

import torch
from attrs import frozen

from cachedsl.signals.base import StepView
from cachedsl.signals.metrics import relative_l1


@frozen
class ResidualSignal:
    """Relative L1 movement of what the front blocks add to their input."""

    name: str = "residual"

    def tap(self, view: StepView) -> torch.Tensor:
        entry, after = view.front()
        return (after - entry).detach()

    def measure(self, now: torch.Tensor, reference: torch.Tensor) -> float:
        return relative_l1(now, reference)
