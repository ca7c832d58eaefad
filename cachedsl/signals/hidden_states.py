"""The front blocks' output itself: the variant of DBCache that compares hidden states."""

from __future__ import annotations

import torch
from attrs import frozen

from cachedsl.signals.base import StepView
from cachedsl.signals.metrics import relative_l1


@frozen
class HiddenStatesSignal:
    """Relative L1 movement of the front blocks' output."""

    name: str = "hidden_states"

    def tap(self, view: StepView) -> torch.Tensor:
        return view.front()[1].detach().clone()  # a copy: the loop goes on with the tensor and may change it in place

    def measure(self, now: torch.Tensor, reference: torch.Tensor) -> float:
        return relative_l1(now, reference)
