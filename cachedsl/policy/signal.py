"""What a policy measures: a tap, its reference, a metric, and how values become the number that is compared."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import frozen

TapName = Literal[
    "residual",
    "hidden_states",
    "probe",
    "block_input",
    "modulated_input",
    "magnitude",
    "transform_rate",
    "filtered_latent",
]
MetricName = Literal["relative_l1", "relative_l2", "cosine"]


@frozen
class Ratios:
    """Calibrated magnitude ratios, one a step: for every branch the same, or for each its own."""

    values: tuple[float, ...] = ()
    branches: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def of(self, branch: str) -> tuple[float, ...]:
        """Return the ratios of a CFG branch; one that was not calibrated has those of the first."""
        return dict(self.branches).get(branch, self.branches[0][1]) if self.branches else self.values


@frozen
class Signal:
    """What is measured; `SIGNAL_PARAMETERS` says which tap reads which parameter.

    Attributes:
        tap: what is looked at.
        reference: what it is compared with, the tap at the last computed step or at the step before.
        metric: the distance.
        rescale: coefficients of a polynomial in the measured value, highest degree first, not clamped.
        accumulate: what the threshold bounds, the value itself, its sum since the last computed step, or over the run.
        stride: only every k-th channel is compared.
        token_floor: only tokens that moved by more than this count, where there are any.
        exponent: of `filtered_latent`, the power law of the signal's spectrum.
        ratios: of `magnitude`.
    """

    tap: TapName = "residual"
    reference: Literal["last_computed", "previous_step"] = "last_computed"
    metric: MetricName = "relative_l1"
    rescale: tuple[float, ...] | None = None
    accumulate: Literal["none", "until_compute", "lifetime"] = "none"
    stride: int = 1
    token_floor: float = 0.0
    exponent: float = 2.0
    ratios: Ratios | None = None

    @property
    def after_front(self) -> bool:
        """Whether it exists only after the front blocks; else it does before any block runs."""
        return self.tap in ("residual", "hidden_states", "probe")

    @property
    def observes(self) -> bool:
        """Whether it is looked at on every step, for the next one is compared with it."""
        return self.tap == "transform_rate" or (self.tap != "magnitude" and self.reference == "previous_step")

    @property
    def anchors(self) -> int:
        """How many computed steps it needs before it can be measured."""
        return 2 if self.tap == "transform_rate" else 1


_TENSOR = ("reference", "metric", "rescale", "accumulate", "stride", "token_floor")
SIGNAL_PARAMETERS: dict[str, tuple[str, ...]] = {
    "residual": _TENSOR,
    "hidden_states": _TENSOR,
    "probe": _TENSOR,
    "block_input": _TENSOR,
    "modulated_input": _TENSOR,
    "magnitude": ("rescale", "accumulate", "ratios"),
    "transform_rate": ("rescale", "accumulate"),
    "filtered_latent": ("reference", "metric", "rescale", "accumulate", "stride", "exponent"),
}
SIGNALS: dict[str, Signal] = {
    "residual": Signal("residual"),
    "hidden_states": Signal("hidden_states"),
    "probe": Signal("probe", reference="previous_step", accumulate="until_compute"),
    "block_input": Signal("block_input"),
    "modulated_input": Signal("modulated_input", reference="previous_step", accumulate="until_compute"),
    "magnitude": Signal("magnitude", accumulate="until_compute"),
    "transform_rate": Signal("transform_rate", accumulate="until_compute"),
    "filtered_latent": Signal("filtered_latent", reference="previous_step", accumulate="until_compute"),
}
"""What the name of a tap alone stands for."""


def as_signal(value: Any) -> Any:
    """Turn a tap's name into the signal that it stands for; anything else stays."""
    return SIGNALS[value] if isinstance(value, str) else value


def written(signal: Signal) -> dict[str, Any]:
    """Return what differs from the signal that the tap's name stands for."""
    default = SIGNALS[signal.tap]
    names = (field.name for field in attrs.fields(Signal))
    return {name: getattr(signal, name) for name in names if getattr(signal, name) != getattr(default, name)}
