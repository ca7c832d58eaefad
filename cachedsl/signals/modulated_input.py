"""The first block's input after its norm and modulation by the timestep: TeaCache (arXiv 2411.19108)."""

from __future__ import annotations

import torch

from cachedsl.language.parts import Signal
from cachedsl.signals.base import StepView


def modulated_input(view: StepView, signal: Signal) -> torch.Tensor:
    """Return the modulated input as the adapter has it evaluated, `(batch, tokens, channels)` or an embedding."""
    assert view.modulated_input is not None, "checked when the policy was applied"
    return view.modulated_input.clone()  # the loop goes on with the tensor and may change it in place
