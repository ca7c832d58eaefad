"""What a signal is: a tap on the model, and a distance to the tap at its reference."""

from __future__ import annotations

from typing import Protocol

import torch
from attrs import frozen


@frozen
class StepView:
    """What a step has shown when a unit is reached: `hidden_states`, `(batch, tokens, channels)` each.

    Attributes:
        unit_entry: what enters the unit.
        front_entry: what entered the first front block; None where the signal does not go by the front.
        front_exit: what the last front block returned; None likewise.
    """

    unit_entry: torch.Tensor
    front_entry: torch.Tensor | None = None
    front_exit: torch.Tensor | None = None

    def front(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return entry and exit of the front blocks, which a signal that goes by them has."""
        assert self.front_entry is not None, "the checks have seen that there is a front block"
        assert self.front_exit is not None, "the front blocks run before the first unit"
        return self.front_entry, self.front_exit


class Signal(Protocol):
    """Says how far the model has moved since the reference, as one dimensionless number.

    A signal of this kind is available when the unit is reached, and its reference is the tap at the unit's last
    computed step.
    """

    @property
    def name(self) -> str:
        """The name in policies."""
        ...

    def tap(self, view: StepView) -> torch.Tensor:
        """Return the tensor that is compared and, when the unit is computed, kept as the reference."""
        ...

    def measure(self, now: torch.Tensor, reference: torch.Tensor) -> float:
        """Return the distance of this step's tap from the reference."""
        ...
