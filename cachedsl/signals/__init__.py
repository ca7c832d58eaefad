"""Signals: what is measured to decide whether a step may be reused. One file each; this is their registry."""

from __future__ import annotations

from cachedsl.signals.base import Signal, StepView
from cachedsl.signals.block_input import BlockInputSignal
from cachedsl.signals.hidden_states import HiddenStatesSignal
from cachedsl.signals.metrics import relative_l1
from cachedsl.signals.residual import ResidualSignal

SIGNALS: dict[str, Signal] = {
    "residual": ResidualSignal(),
    "hidden_states": HiddenStatesSignal(),
}

BLOCK_INPUT: Signal = BlockInputSignal()
"""What pruned and back units measure, whatever signal the policy names for the middle."""

__all__ = ["BLOCK_INPUT", "SIGNALS", "Signal", "StepView", "relative_l1"]
