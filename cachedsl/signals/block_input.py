"""Each block's own input: Dynamic Block Prune, and back blocks that decide for themselves."""

from __future__ import annotations

import torch
from attrs import frozen

from cachedsl.signals.base import StepView
from cachedsl.signals.metrics import relative_l1


@frozen
class BlockInputSignal:
    """Relative L1 movement of the `hidden_states` that enter the unit, since it last ran."""

    name: str = "block_input"

    def tap(self, view: StepView) -> torch.Tensor:
        return view.unit_entry.detach().clone()  # a copy: the loop may change the tensor in place

    def measure(self, now: torch.Tensor, reference: torch.Tensor) -> float:
        return relative_l1(now, reference)
