"""Signals: what is measured to decide whether a step may be reused. One file each; this is their registry."""

from __future__ import annotations

from collections.abc import Callable

from cachedsl.policy.signal import SIGNALS, Signal
from cachedsl.signals.base import Meter, ModelInput, Setting, StepView
from cachedsl.signals.block_input import block_input
from cachedsl.signals.filtered_latent import filtered_latent
from cachedsl.signals.hidden_states import hidden_states
from cachedsl.signals.magnitude import MagnitudeMeter
from cachedsl.signals.modulated_input import modulated_input
from cachedsl.signals.reduce import Reduction, Sums, read, reducing
from cachedsl.signals.residual import residual
from cachedsl.signals.tensor import Tap, TensorMeter
from cachedsl.signals.transform_rate import TransformRateMeter

MeterFactory = Callable[[Signal, Setting], Meter]


def _tensor(tap: Tap) -> MeterFactory:
    return lambda signal, _: TensorMeter(tap, signal)


METERS: dict[str, MeterFactory] = {
    "residual": _tensor(residual),
    "hidden_states": _tensor(hidden_states),
    "probe": _tensor(hidden_states),
    "block_input": _tensor(block_input),
    "modulated_input": _tensor(modulated_input),
    "magnitude": MagnitudeMeter,
    "transform_rate": lambda signal, _: TransformRateMeter(signal),
    "filtered_latent": _tensor(filtered_latent),
}

BLOCK_INPUT = SIGNALS["block_input"]
"""What pruned and back units measure, whatever signal the policy names for the middle."""


def build_meter(signal: Signal, setting: Setting) -> Meter:
    """Make a fresh meter for one unit in one branch."""
    return METERS[signal.tap](signal, setting)


__all__ = [
    "BLOCK_INPUT",
    "METERS",
    "Meter",
    "ModelInput",
    "Reduction",
    "Setting",
    "StepView",
    "Sums",
    "build_meter",
    "read",
    "reducing",
]
