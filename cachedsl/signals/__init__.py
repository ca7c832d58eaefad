"""Signals: what is measured to decide whether a step may be reused. One file each; `language/taps.py` names them."""

from __future__ import annotations

import inspect
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any

from cachedsl.language.parts import Signal
from cachedsl.language.taps import TAPS
from cachedsl.plan.frozen import thaw
from cachedsl.plan.rules import SignalPlan
from cachedsl.signals.base import Meter, ModelInput, Setting, StepView, sums_of
from cachedsl.signals.reduce import Ranks, Reduction, Sums, any_rank, compare, from_first, read, reducing
from cachedsl.signals.tensor import TensorMeter


def build_meter(signal: Signal | SignalPlan, setting: Setting) -> Meter:
    """Make a fresh meter for one unit in one branch."""
    if isinstance(signal, SignalPlan):
        signal = signal_of(signal)
    made: Any = _implementation(signal.tap)
    if inspect.isclass(made):
        meter: Any = made
        return meter(signal, setting)  # type: ignore[no-any-return]
    return TensorMeter(made, signal)


def signal_of(plan: SignalPlan) -> Signal:
    """Return the signal that a plan names, with its parameters."""
    own = TAPS[plan.tap].own
    given = thaw(plan.parameters)
    brought = {name: value for name, value in given.items() if name in own}
    return Signal(plan.tap, **{name: value for name, value in given.items() if name not in own}, own=brought)


@lru_cache(maxsize=64)
def _implementation(tap: str) -> Any:
    """Return the function or class that measures a tap."""
    return resolve_name(TAPS[tap].meter)


__all__ = [
    "Meter",
    "ModelInput",
    "Ranks",
    "Reduction",
    "Setting",
    "StepView",
    "Sums",
    "any_rank",
    "build_meter",
    "compare",
    "from_first",
    "read",
    "reducing",
    "signal_of",
    "sums_of",
]
