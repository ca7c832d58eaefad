"""What a signal works with: what a step shows, and a meter that says how far the model has moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from attrs import define, frozen

from cachedsl.signals.reduce import Sums, read


@frozen
class ModelInput:
    """What the transformer's forward was called with.

    Attributes:
        latent: the noisy latent, `(batch, channels, [frames,] height, width)` or `(batch, tokens, channels)`.
        grid: of tokens, the height and width that they come from, where the adapter tells.
        find_grid: finds `grid` out, in its place; of the first image, where reference images stand behind it.
        axes: which of the latent's axes are places, where the adapter tells; else all after the first two.
        positions: the argument that the adapter says has the tokens' positions, "" where it names none.
    """

    latent: torch.Tensor
    grid: tuple[int, int] | None = None
    axes: tuple[int, ...] | None = None
    find_grid: Callable[[], tuple[int, int] | None] | None = None
    positions: str = ""

    def on_grid(self) -> tuple[int, int] | None:
        """Return `grid`, looked up only now where that waits for the device."""
        return self.grid if self.find_grid is None else self.find_grid()


@define(eq=False)
class StepView:
    """What a step has shown when a unit is reached; not frozen, for dynamo cannot make what is.

    Attributes:
        step: the run's step index.
        unit_entry: `hidden_states` that enter the unit, `(batch, tokens, channels)`.
        front_entry: what entered the first front block; None where nothing goes by the front.
        front_exit: what the last front block returned; None likewise.
        modulated_input: the first block's modulated input; None where nothing goes by it.
        model_input: what the transformer was called with; None where nothing goes by it.
        mixing: returns `(a, b)` of this step's latent, a · signal + b · noise.
    """

    step: int
    unit_entry: torch.Tensor
    front_entry: torch.Tensor | None = None
    front_exit: torch.Tensor | None = None
    modulated_input: torch.Tensor | None = None
    model_input: ModelInput | None = None
    mixing: Callable[[], tuple[float, float]] = lambda: (1.0, 0.0)

    def front(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return entry and exit of the front blocks, which whatever goes by them has."""
        assert self.front_entry is not None, "the checks have seen that there is a front block"
        assert self.front_exit is not None, "the front blocks run before the first unit"
        return self.front_entry, self.front_exit

    def model(self) -> ModelInput:
        """Return what the transformer was called with, which whatever goes by it has."""
        assert self.model_input is not None, "the executor keeps it for the signals that go by it"
        return self.model_input


@frozen
class Setting:
    """What is known of the run when a meter is made.

    Attributes:
        num_steps: its step count, None where it is not known.
        branch: the CFG branch.
        offset: where in the full schedule its step 0 is.
        full: how many steps the full schedule has; None where that is not known, and taken for `num_steps`.
    """

    num_steps: int | None = None
    branch: str = ""
    offset: int = 0
    full: int | None = None


class Meter(Protocol):
    """Measures one unit in one branch. The executor calls it as the machine asks; it decides nothing.

    In a step: `look` when the unit is reached, `sums` or `measure` on an open step, `keep` where the unit was computed
    and is the new anchor, `observe` when the forward has returned, where the machine asked to observe.
    """

    def look(self, view: StepView) -> Any:
        """Return this step's tap, for the calls that follow."""
        ...

    def sums(self, now: Any) -> Sums | float:
        """Return what the value of this step's tap is made of; a number where it needs no tensor."""
        ...

    def measure(self, now: Any) -> float:
        """Return the value of this step's tap, a dimensionless number; not finite where it cannot be told."""
        return read([self.sums(now)])[0]

    def keep(self, now: Any) -> None:
        """Take this step's tap as that of the last computed step."""
        ...

    def observe(self, now: Any, output: Callable[[], torch.Tensor], computed: bool) -> None:
        """Take this step's tap as that of the step before the next; `output` returns what the transformer did."""
        ...

    def clear(self) -> None:
        """Forget every reference."""
        ...

    def replan(self, num_steps: int) -> None:
        """Take another step count for the run in progress."""
        ...

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return every tensor that is held, for the accounting of memory."""
        ...


def sums_of(meter: Meter, now: Any) -> Sums | float:
    """Return what a value is made of; a meter of another package may only have `measure`, and gives the value."""
    return meter.sums(now) if hasattr(meter, "sums") else meter.measure(now)


def polynomial(coefficients: tuple[float, ...] | None, value: float) -> float:
    """Return the polynomial at `value`, highest degree first, not clamped; `value` itself without coefficients."""
    if coefficients is None:
        return value
    result = 0.0
    for coefficient in coefficients:
        result = result * value + coefficient
    return result
