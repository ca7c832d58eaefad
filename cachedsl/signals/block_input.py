"""What enters the unit: Dynamic Block Prune, back blocks that decide for themselves, and a middle without a front."""

from __future__ import annotations

import torch

from cachedsl.language.parts import Signal
from cachedsl.signals.base import StepView


def block_input(view: StepView, signal: Signal) -> torch.Tensor:
    """Return the `hidden_states` that enter the unit, `(batch, tokens, channels)`."""
    return view.unit_entry.clone()  # the loop goes on with the tensor and may change it in place
