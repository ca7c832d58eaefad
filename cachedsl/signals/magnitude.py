"""Calibrated ratios of the residual's magnitude from step to step: MagCache (arXiv 2506.09045). Nothing is measured."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from cachedsl.language.parts import Signal
from cachedsl.signals.base import Meter, Setting, StepView, polynomial


class MagnitudeMeter(Meter):
    """`|1 - product of the ratios since the last computed step|`: by how much its residual is off in magnitude."""

    def __init__(self, signal: Signal, setting: Setting) -> None:
        assert signal.ratios is not None, "the checks have seen that there are ratios"
        assert setting.num_steps is not None, "a plan with ratios has a step count"
        self._signal = signal
        self._setting = setting
        self._calibrated = signal.ratios.of(setting.branch)
        self._ratios = self._stretched(setting.num_steps)
        self._computed = 0

    def _stretched(self, num_steps: int) -> tuple[float, ...]:
        """Return the run's ratios: they are of places in the full schedule."""
        offset = self._setting.offset
        return stretch(self._calibrated, max(self._setting.full or 0, offset + num_steps))[offset:]

    def look(self, view: StepView) -> int:
        return view.step

    def sums(self, now: int) -> float:
        product = math.prod(self._ratios[self._computed + 1 : now + 1])
        return polynomial(self._signal.rescale, abs(1 - product))

    def keep(self, now: int) -> None:
        self._computed = now

    def observe(self, now: int, output: Callable[[], torch.Tensor], computed: bool) -> None:
        """Do nothing: the step's index is all there is."""

    def replan(self, num_steps: int) -> None:
        self._ratios = self._stretched(num_steps)

    def clear(self) -> None:
        self._computed = 0

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return ()


def stretch(ratios: tuple[float, ...], num_steps: int) -> tuple[float, ...]:
    """Return one ratio a step: the nearest one on the way from the first to the last, as MagCache has it."""
    if num_steps == 1:
        return ratios[-1:]
    scale = (len(ratios) - 1) / (num_steps - 1)
    return tuple(ratios[round(step * scale)] for step in range(num_steps))
