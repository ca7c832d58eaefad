"""What a finished run came to, and the count that is kept of it while somebody wants to hear of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from time import perf_counter
from typing import Literal

from attrs import define, field, frozen

from cachedsl.trace import StepRecord

Outcome = Literal["completed", "aborted", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("completed", "aborted", "failed")


@frozen
class FinishedRun:
    """One run that is over.

    Attributes:
        number: counts the runs since attaching, from 0.
        id: the caller's own name of it, None where it has none.
        policy: the name of the policy that it went by.
        model: the class name of what the policy is attached to.
        outcome: `completed`; `aborted`, ended before its last step; or `failed`, left by an exception.
        reason: why it failed, else None.
        planned_steps: the step count that was announced, None where nobody did.
        step_seconds: for each step that was taken, the seconds of the transformer calls in it. On a device that works
            through a queue, it is the time until the host went on, which a policy that measures makes wait for.
        blocks_computed: blocks that ran. A step that a compiled model tries and takes again counts twice.
        blocks_total: blocks that would have run without a policy.
        seconds: the time inside the run: of all its `with` blocks, or of the pipeline's call; for runs that begin by
            themselves, from the first transformer call to the end of the last one.
        warnings: how many warnings of each code it left.
    """

    number: int
    id: Hashable
    policy: str
    model: str
    outcome: Outcome
    reason: str | None
    planned_steps: int | None
    step_seconds: tuple[float, ...]
    blocks_computed: int
    blocks_total: int
    seconds: float
    warnings: Mapping[str, int]

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.step_seconds)

    @property
    def reused_share(self) -> float:
        """Blocks that did not run out of all, between 0 and 1; 0 for a run without steps."""
        return max(0.0, 1 - self.blocks_computed / self.blocks_total) if self.blocks_total else 0.0


@define(eq=False)
class Tally:
    """Counts the blocks of one run, and times its steps."""

    blocks_computed: int = 0
    blocks_total: int = 0
    step_seconds: list[float] = field(factory=list)
    _step: tuple[int, int] | None = None
    _call: float | None = None
    _span: tuple[float, float] | None = None
    _entered: float | None = None
    _inside: float | None = None

    def enter(self) -> None:
        """Begin a `with` block of the run."""
        self._entered, self._inside = perf_counter(), self._inside or 0.0

    def leave(self) -> None:
        if self._entered is not None:
            self._inside, self._entered = self.seconds, None

    def begin_call(self, loop: int, step: int) -> None:
        """Begin a transformer call; several of one step, for its CFG branches, are timed together."""
        self._call = perf_counter()
        if self._step != (loop, step):
            self._step = (loop, step)
            self.step_seconds.append(0.0)

    def end_call(self) -> None:
        if self._call is not None:
            now = perf_counter()
            self.step_seconds[-1] += now - self._call
            self._span = (self._span[0] if self._span else self._call, now)
            self._call = None

    def add(self, step: StepRecord) -> None:
        self.blocks_computed += step.blocks_run
        self.blocks_total += step.blocks

    @property
    def seconds(self) -> float:
        """The seconds inside the run so far."""
        if self._inside is not None:
            return self._inside + (0.0 if self._entered is None else perf_counter() - self._entered)
        return 0.0 if self._span is None else self._span[1] - self._span[0]
