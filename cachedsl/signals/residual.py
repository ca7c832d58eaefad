"""The front blocks' residual: First Block Cache (ParaAttention) with one front block, DBCache with more."""

from __future__ import annotations

import torch

from cachedsl.language.parts import Signal
from cachedsl.signals.base import StepView


def residual(view: StepView, signal: Signal) -> torch.Tensor:
    """Return what the front blocks add to their input, `(batch, tokens, channels)`."""
    entry, after = view.front()
    return after - entry
