"""What a signal is: a tap on the model, and a distance to the tap at its reference."""

from __future__ import annotations

from typing import Protocol

import torch
from attrs import frozen


@frozen
class FrontView:
    """What the front blocks showed in this step: their entry and exit `hidden_states`, `(batch, tokens, channels)`."""

    entry: torch.Tensor
    exit: torch.Tensor


class Signal(Protocol):
    """Says how far the model has moved since the reference, as one dimensionless number.

    A signal of this kind is available after the front blocks, and its reference is the tap at the last computed step.
    """

    @property
    def name(self) -> str:
        """The name in policies."""
        ...

    def tap(self, view: FrontView) -> torch.Tensor:
        """Return the tensor that is compared and, when the unit is computed, kept as the reference."""
        ...

    def measure(self, now: torch.Tensor, reference: torch.Tensor) -> float:
        """Return the distance of this step's tap from the reference."""
        ...
