"""The front blocks' output itself: a variant of DBCache, and the probe of DiCache (arXiv 2508.17356)."""

from __future__ import annotations

import torch

from cachedsl.language.parts import Signal
from cachedsl.signals.base import StepView


def hidden_states(view: StepView, signal: Signal) -> torch.Tensor:
    """Return the front blocks' output, `(batch, tokens, channels)`."""
    return view.front()[1].clone()  # the loop goes on with the tensor and may change it in place
