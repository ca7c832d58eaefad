"""What a predictor is: computed results in, an approximation of a skipped result out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch


class Predictor(ABC):
    """Approximates one stream of one unit. It is told every computed result and never sees a reused one."""

    needs_probe = False
    """Whether it goes by what the front blocks add; it is shown that with `see` before `update` and `predict`."""

    def see(self, probe: torch.Tensor) -> None:  # noqa: B027
        """Take what the front blocks add in this step, `(batch, tokens, channels)`; most predictors need it not."""

    @abstractmethod
    def update(self, value: torch.Tensor, position: float) -> None:
        """Take the result computed at `position` (a step index, timestep or sigma) as the newest anchor.

        Args:
            value: the residual `(batch, tokens, channels)`, kept by reference and never changed.
            position: beyond that of the anchor before, always in the same direction.
        """

    @abstractmethod
    def predict(self, position: float) -> torch.Tensor:
        """Return the approximation at `position`, in the anchors' shape and dtype. Needs at least one anchor.

        A step may be predicted on trial and computed after all: `update` at the same position takes that back.
        """

    def copied(self, value: torch.Tensor, position: float) -> None:  # noqa: B027
        """Take note that `value` stood in at `position`, beyond the horizon; most predictors need it not."""

    @abstractmethod
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return every tensor that is held, for the accounting of memory."""


def wide(value: torch.Tensor) -> torch.Tensor:
    """Return `value` in the dtype to calculate in: float32, or its own where that is wider."""
    return value.to(torch.promote_types(value.dtype, torch.float32))
