"""What is known of a transformer call before it is made, and where it was placed: plain values, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from attrs import frozen

Origin = Literal["loop", "callback", "nested", "pipeline"]
"""Who makes a call: the loop, a user's callback, a hook inside the transformer's own call, another pipeline."""

Why = Literal["callback", "nested", "pipeline", "thread", "stranger", "past_end", "again", "branches"]
"""Why a call runs uncached."""

How = Literal["named", "ordered", "matched", "alternated"]
"""By what a call's branch was told."""


Begins = Literal["run", "loop", "nothing"]
"""What begins with a call: a run, another loop of the run, or nothing."""


@frozen
class CallContext:
    """What a pipeline says about a call through diffusers' `cache_context`."""

    name: str
    step_index: int | None = None
    num_inference_steps: int | None = None


@frozen
class CallFingerprint:
    """What a call was given, by content.

    Attributes:
        timestep: tells its content.
        level: the timestep as one number, the mean where tokens or samples have their own.
        shape: the latent's.
        latent: tells its content.
        sample: some of its elements, from all over it.
        parts: some of its parts (its first and last elements, its channels), each told by its content.
        others: name and content of every other argument.
    """

    timestep: Any
    level: float
    shape: tuple[int, ...] = ()
    latent: Any = None
    sample: tuple[float, ...] = ()
    parts: tuple[Any, ...] = ()
    others: tuple[tuple[str, Any], ...] = ()


@frozen
class Schedule:
    """What the scheduler shows when a call is made.

    Attributes:
        number: counts the tables of timesteps that were set; None where the scheduler makes one each time it is asked.
        length: how many timesteps there are.
        step_index: where it is, None before its first step.
        steps: whether it has a step index at all.
        begin_index: where the loop begins, None where the pipeline has not said.
        timesteps: the table, where it was needed.
    """

    length: int | None = None
    number: int | None = None
    step_index: int | None = None
    steps: bool = True
    begin_index: int | None = None
    timesteps: tuple[float, ...] = ()


@frozen
class Observation:
    """One call, before it is made.

    Attributes:
        component: the pipeline's name of the transformer.
        owner: the number of who calls, a thread; never given twice.
        origin: who makes the call.
        context: what the pipeline says of it.
        schedule: what the scheduler shows; None for a bare transformer without one.
        announced: the pipeline's own count of the steps of its loop.
        fingerprint: what it was given; None where it was not needed, or has no timestep.
    """

    component: str = "transformer"
    owner: int = 0
    origin: Origin = "loop"
    context: CallContext | None = None
    schedule: Schedule | None = None
    announced: int | None = None
    fingerprint: CallFingerprint | None = None

    @property
    def index(self) -> int | None:
        """The step that the pipeline or its scheduler shows, None where neither does."""
        if self.context is not None and self.context.step_index is not None:
            return self.context.step_index
        return None if self.schedule is None else self.schedule.step_index


@frozen
class Placed:
    """Where a call belongs.

    Attributes:
        step: from 0 to `num_steps - 1`, among the steps that the loop makes.
        branch: the CFG branch, window or tile.
        num_steps: how many steps the loop makes, None where nobody says.
        offset: where in the full schedule step 0 is.
        full: how many steps the full schedule has.
        begins: what begins with this call.
        how: by what the branch was told.
    """

    step: int
    branch: str
    num_steps: int | None = None
    offset: int = 0
    full: int | None = None
    begins: Begins = "nothing"
    how: How = "matched"


@frozen
class Uncached:
    """A call that belongs nowhere, and why."""

    why: Why


Placement = Placed | Uncached


@frozen
class Rules:
    """What holds for a run from its first call to its last.

    Attributes:
        mode: the policy's `cfg`.
        order: the policy's `cfg.order`.
        declared: what the adapter says of the family, for `cfg: auto`.
        steps: the step count that the caller told.
        delimited: somebody says where the run begins and ends; else its calls tell.
        owner: whose calls are the run's.
    """

    mode: Literal["auto", "fused", "separate"] = "auto"
    order: Literal["cond_first", "uncond_first"] = "cond_first"
    declared: Literal["fused", "separate"] = "fused"
    steps: int | None = None
    delimited: bool = True
    owner: int = 0

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches that are expected where the pipeline does not name its calls, in order."""
        if (self.declared if self.mode == "auto" else self.mode) == "fused":
            return (FUSED_BRANCH,)
        return ("cond", "uncond") if self.order == "cond_first" else ("uncond", "cond")


FUSED_BRANCH = "cond_uncond"


@frozen
class PlacedCall:
    """A call that was placed, to compare the next ones with."""

    step: int
    branch: str
    component: str
    name: str | None = None
    fingerprint: CallFingerprint | None = None


class PlaceState(NamedTuple):
    """What `place` remembers of a run; a tuple, because every call makes a new one.

    Attributes:
        rules: what holds for the run.
        step: the step of the last placed call, -1 before the first.
        here: the placed calls of this step.
        last: each branch's last call.
        counts: on how many steps each branch was called.
        before: the branches of the step before this one.
        direction: the sign of the timestep's change.
        shown: the index that the pipeline or its scheduler showed last.
        base: the index of step 0, None until one was shown.
        schedule: the number of the table of timesteps.
        standing: the scheduler turned out to stand still while steps go by.
        num_steps: see `Placed`.
        offset: see `Placed`.
        sure: something says that the loop begins there.
        full: see `Placed`.
        doubled: calls that look like another branch's, where `cfg: fused` says there is none.
        moving: the arguments that change from step to step of one branch.
        renewed: how many runs in a row had one step, and then new noise under the same arguments: a sampler may draw
            it at every step.
    """

    rules: Rules = Rules()
    step: int = -1
    here: tuple[PlacedCall, ...] = ()
    last: Mapping[tuple[str, str], PlacedCall] = MappingProxyType({})
    counts: Mapping[str, int] = MappingProxyType({})
    before: frozenset[str] = frozenset()
    direction: float = 0.0
    shown: int | None = None
    base: int | None = None
    schedule: int | None = None
    standing: bool = False
    num_steps: int | None = None
    offset: int = 0
    sure: bool = False
    full: int | None = None
    doubled: int = 0
    moving: frozenset[str] = frozenset()
    renewed: int = 0
