"""A plan: what a policy comes to on one model, as units and a step table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from cachedsl.machine.events import Verdict
from cachedsl.machine.shape import StackShape
from cachedsl.policy.parts import Cfg, StackPolicy
from cachedsl.policy.signal import Signal

if TYPE_CHECKING:
    from cachedsl.machine.memory import Memory

UnitKind = Literal["middle", "pruned", "back"]


@frozen
class Unit:
    """Blocks `start` to `stop - 1` of a stack, computed or reused as a whole."""

    index: int
    start: int
    stop: int
    kind: UnitKind = "middle"


@frozen
class StepEntry:
    """What is known of a step before the run: `open` steps are decided by measuring; their reason is empty."""

    verdict: Verdict
    reason: str = ""


@frozen
class StackPlan:
    """The plan of one block list.

    Attributes:
        shape: which list, and its block count.
        policy: what governs it.
        front: blocks `0` to `front - 1` always run.
        back: the last `back` blocks always run.
        units: what is computed or reused as a whole; empty where the stack runs in full.
        mask: the step mask, resolved for the run's step count where that is known.
        table: per step what is known beforehand, for a machine that sees every step; None without a step count.
        note: why the stack runs in full, where it does.
    """

    shape: StackShape
    policy: StackPolicy
    front: int
    back: int
    units: tuple[Unit, ...] = field(converter=tuple[Unit, ...])
    mask: str | None = None
    table: tuple[StepEntry, ...] | None = None
    note: str | None = None

    @property
    def name(self) -> str:
        return self.shape.name

    @property
    def transformer(self) -> str:
        return self.shape.transformer

    @property
    def blocks(self) -> int:
        return self.shape.blocks

    @property
    def measures(self) -> bool:
        """Whether any step could ever ask for a measurement."""
        return bool(self.units) and (self.policy.measures or any(unit.kind == "back" for unit in self.units))

    @property
    def signal(self) -> Signal | None:
        """What decides over the units that are no back blocks; None where nothing is measured for them."""
        return self.policy.signal if self.units else None

    @property
    def anchors_needed(self) -> int:
        """How many computed steps there must be before one may be reused."""
        return 1 if self.signal is None else self.signal.anchors

    @property
    def taps_front(self) -> bool:
        """Whether what the front blocks show is ever compared, or predicted with."""
        return bool(self.units) and self.policy.needs_front

    @property
    def taps_model(self) -> bool:
        """Whether what the transformer is called with is ever compared."""
        return self.signal is not None and self.signal.tap in ("transform_rate", "filtered_latent")


@frozen
class Plan:
    """A policy on a model for a step count (None where it is not known)."""

    policy_name: str
    model: str
    num_inference_steps: int | None
    cfg: Cfg
    stacks: tuple[StackPlan, ...] = field(converter=tuple[StackPlan, ...])

    def stack(self, transformer: str, name: str) -> StackPlan:
        """Return the plan of one block list, or of the chain that it is in; raises KeyError where there is none."""
        for stack in self.stacks:
            if stack.transformer == transformer and name in (
                stack.name,
                *(member for member, _ in stack.shape.members),
            ):
                return stack
        raise KeyError(f"{transformer}.{name}")

    def memory(
        self,
        shapes: Mapping[str, tuple[int, ...]] | Mapping[str, Mapping[str, tuple[int, ...]]],
        *,
        element_size: int = 2,
        branches: int | None = None,
    ) -> Memory:
        """Count the bytes that a run holds; see `cachedsl.machine.memory.memory`."""
        from cachedsl.machine.memory import memory

        return memory(self, shapes, element_size=element_size, branches=branches)

    def to_text(self) -> str:
        """Render for a terminal."""
        from cachedsl.machine.render import to_text

        return to_text(self)

    def to_json(self) -> str:
        """Render as stable, indented JSON, meant to be committed as a golden file."""
        from cachedsl.machine.render import to_json

        return to_json(self)

    def to_mermaid(self) -> str:
        """Render the machine as a Mermaid state diagram."""
        from cachedsl.machine.render import to_mermaid

        return to_mermaid(self)
