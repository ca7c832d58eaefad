"""Signals: what is measured to decide whether a step may be reused. One file each; this is their registry."""

from __future__ import annotations

from cachedsl.signals.base import FrontView, Signal
from cachedsl.signals.hidden_states import HiddenStatesSignal
from cachedsl.signals.metrics import relative_l1
from cachedsl.signals.residual import ResidualSignal

SIGNALS: dict[str, Signal] = {
    "residual": ResidualSignal(),
    "hidden_states": HiddenStatesSignal(),
}

__all__ = ["SIGNALS", "FrontView", "Signal", "relative_l1"]
