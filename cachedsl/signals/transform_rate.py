"""How fast the model's output changes with its input: EasyCache (arXiv 2507.02860)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen

from cachedsl.language.parts import Signal
from cachedsl.signals.base import Meter, Setting, StepView, polynomial
from cachedsl.signals.reduce import Sums, reduced


@frozen
class _Call:
    input: torch.Tensor
    output: torch.Tensor


class TransformRateMeter(Meter):
    """`k · mean|x - x'| / mean|v|`: the change of output that the change of input makes likely.

    x is the model's input and x' that of the step before; v is the output of the last computed step, and
    `k = mean|v - w| / mean|x_v - x_w|` its change against the computed step before it, per change of input.
    """

    def __init__(self, signal: Signal, setting: Setting) -> None:
        self._signal = signal
        self._previous: torch.Tensor | None = None
        self._computed: _Call | None = None
        self._rate: torch.Tensor | None = None

    def look(self, view: StepView) -> torch.Tensor:
        return view.model().latent.detach().clone()

    def sums(self, now: torch.Tensor) -> Sums:
        assert self._previous is not None, "every step is observed"
        assert self._computed is not None, "an open step has anchors"
        assert self._rate is not None, "the machine waits for two computed steps"
        rate = self._rate
        parts = torch.cat([_sums(now.float() - self._previous.float()), _sums(self._computed.output.float())])
        return Sums(parts, lambda sums: rate * _ratio(sums), lambda value: polynomial(self._signal.rescale, value))

    def keep(self, now: torch.Tensor) -> None:
        """Do nothing: the output that goes with it is not there yet."""

    def observe(self, now: torch.Tensor, output: Callable[[], torch.Tensor], computed: bool) -> None:
        self._previous = now
        if not computed:
            return
        fresh, last = _Call(now, output().detach().clone()), self._computed
        if last is not None:
            moved = [_sums(fresh.output.float() - last.output.float()), _sums(fresh.input.float() - last.input.float())]
            self._rate = _ratio(reduced(torch.cat(moved)))
        self._computed = fresh

    def replan(self, num_steps: int) -> None:
        """Do nothing: no step count is gone by."""

    def clear(self) -> None:
        self._previous = self._computed = self._rate = None

    def tensors(self) -> tuple[torch.Tensor, ...]:
        calls = () if self._computed is None else (self._computed.input, self._computed.output)
        held = {id(t): t for t in (*calls, self._previous, self._rate) if t is not None}
        return tuple(held.values())


def _sums(values: torch.Tensor) -> torch.Tensor:
    """Return what the mean of the absolute values is made of, their sum and their count."""
    total = values.abs().sum()
    return torch.stack([total, total.new_tensor(values.numel())])


def _ratio(sums: torch.Tensor) -> torch.Tensor:
    """Return the first mean over the second, of two sums with their counts."""
    return sums[0] / sums[1] / (sums[2] / sums[3])
