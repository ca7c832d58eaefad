"""What the machine is told (events are facts) and what it asks for (actions are imperatives).

No tensor, no clock: measured values arrive as floats.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen


@frozen
class RunStarted:
    """A run begins; `num_steps` is its step count where it is known."""

    num_steps: int | None


@frozen
class StepStarted:
    """A step of this stack and branch begins.

    Attributes:
        index: the run's own step index from 0; masks and `tail` go by it.
        leader_verdict: what became of the step's first branch in this stack, `compute` or `reuse`; None for the
            first branch itself, or where branches do not follow.
    """

    index: int
    leader_verdict: Literal["compute", "reuse"] | None = None


@frozen
class UnitReached:
    """The executor stands before the first block of `unit`; `shape_changed`: a stream's shape is not the anchor's."""

    unit: int
    shape_changed: bool = False


@frozen
class UnitMeasured:
    """The signal of `unit` was measured; a reference of zero norm is reported as NaN or infinity."""

    unit: int
    value: float


@frozen
class UnitDone:
    """The last block of `unit` is behind us, computed or reused."""

    unit: int


@frozen
class StepEnded:
    """The step's forward returned."""


@frozen
class RunEnded:
    """The pipeline's call returned."""


@frozen
class Failed:
    """An exception left the run."""

    reason: str


Event = RunStarted | StepStarted | UnitReached | UnitMeasured | UnitDone | StepEnded | RunEnded | Failed


@frozen
class DropHistory:
    """Forget every anchor, reference and derivative of this machine."""


@frozen
class Observe:
    """Keep what the next step's measurement is compared with, whatever becomes of this step."""

    signal: str


@frozen
class Measure:
    """Measure the signal of `unit` and answer with `UnitMeasured`."""

    unit: int


@frozen
class ComputeUnit:
    """Run the blocks of `unit`."""

    unit: int
    reason: str


@frozen
class ReuseUnit:
    """Skip the blocks of `unit` and return entry plus predicted residual."""

    unit: int
    reason: str


@frozen
class StoreAnchor:
    """Keep what `unit` just computed as its newest anchor, and its measured tap as the new reference."""

    unit: int


Action = DropHistory | Observe | Measure | ComputeUnit | ReuseUnit | StoreAnchor
