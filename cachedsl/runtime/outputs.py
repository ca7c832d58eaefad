"""What the model returned in a run: whether it was finite, asked of the device once, when the run is over."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import define, field

from cachedsl.runtime.errors import PatternMismatch
from cachedsl.runtime.observation import Placed


@define(eq=False)
class Outputs:
    """Keeps one number for each call: the sum of what the model returned, which is not finite where any of it is not.

    It stays on the device until the run is over, so that no step waits for it.
    """

    _sums: list[tuple[str, int, torch.Tensor]] = field(factory=list)

    def note(self, call: Placed, output: Callable[[], torch.Tensor]) -> None:
        """Take note of what a call returned; `output` returns a tensor of any shape."""
        try:
            value = output().detach()
        except PatternMismatch:  # no tensor in it
            return
        if value.is_floating_point():
            total = value.sum(dtype=torch.promote_types(value.dtype, torch.float32))
            self._sums.append((call.branch, call.step, total))

    def not_finite(self) -> dict[str, tuple[int, ...]]:
        """Return the steps whose output was not finite, in order, by branch; waits for the device."""
        if not self._sums:
            return {}
        device = self._sums[-1][2].device
        finite = torch.stack([total.isfinite().to(device) for _, _, total in self._sums])
        found: dict[str, list[int]] = {}
        for (branch, step, _), good in zip(self._sums, finite.tolist(), strict=True):
            if not good:
                found.setdefault(branch, []).append(step)
        return {branch: tuple(steps) for branch, steps in found.items()}

    def clear(self) -> None:
        """Forget the loop that is over."""
        self._sums = []
