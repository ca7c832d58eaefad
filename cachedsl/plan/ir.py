"""A plan: what a policy comes to on one model, as data.

A plan holds no policy. The machine, the simulation, explanations, memory and differences work from a plan alone, also
from one that was read from JSON (`cachedsl.plan.codec`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from cachedsl.plan.model_shape import StackShape
from cachedsl.plan.rules import Rules, SignalPlan

if TYPE_CHECKING:
    from cachedsl.explain.cost import Cost
    from cachedsl.explain.memory import Memory

UnitKind = Literal["middle", "pruned", "back"]
Verdict = Literal["compute", "reuse", "open"]


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
    """The plan of one block list, or of a chain of them.

    Attributes:
        shape: which list, and its block count.
        rules: what governs it.
        front: blocks `0` to `front - 1` always run.
        back: the last `back` blocks always run.
        units: what is computed or reused as a whole; empty where the stack runs in full.
        mask: the step mask, written out for the run's step count; 1 is computed.
        table: per step what is known beforehand, for a machine that sees every step; None without a step count.
        note: why the stack runs in full, where it does.
    """

    shape: StackShape
    rules: Rules
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
    def decides_back(self) -> bool:
        """Whether any back block decides for itself."""
        return any(unit.kind == "back" for unit in self.units)

    @property
    def measures(self) -> bool:
        """Whether any step could ever ask for a measurement."""
        return bool(self.units) and (self.rules.measures or self.decides_back)

    @property
    def signal(self) -> SignalPlan | None:
        """What decides over the units that are no back blocks; None where nothing is measured for them."""
        return self.rules.signal if self.units else None

    def signal_of(self, unit: Unit) -> SignalPlan | None:
        """Return what decides over `unit`."""
        return self.rules.back_signal if unit.kind == "back" else self.signal

    @property
    def anchors_needed(self) -> int:
        """How many computed steps there must be before one may be reused."""
        return 1 if self.signal is None else self.signal.anchors

    @property
    def taps_front(self) -> bool:
        """Whether what the front blocks show is ever compared, or predicted with."""
        signal = self.signal
        return bool(self.units) and (self.rules.predict.taps_front or (signal is not None and signal.source == "front"))

    @property
    def taps_model(self) -> bool:
        """Whether what the transformer is called with is ever compared."""
        return self.signal is not None and self.signal.source == "model_input"

    def __str__(self) -> str:
        return f"{self.shape.qualified}: {self.blocks} blocks, {len(self.units)} units"


@frozen
class Guidance:
    """How classifier-free guidance reaches the transformer.

    Attributes:
        mode: both branches in one call, in separate calls, or as the model's adapter says.
        order: which branch is called first, where the calls are separate.
        decision: whether every branch decides for itself, or later ones follow the first.
    """

    mode: Literal["auto", "fused", "separate"] = "auto"
    order: Literal["cond_first", "uncond_first"] = "cond_first"
    decision: Literal["per_branch", "follow_first"] = "per_branch"


@frozen
class Plan:
    """What a policy comes to on one model for one step count, as data. `compile_policy` and `Cached.plan` make one.

    Attributes:
        policy_name: the policy's name.
        model: what reports call the model.
        num_inference_steps: the run's step count, None where it is not known.
        cfg: how classifier-free guidance reaches the transformer.
        stacks: the plan of each block list, in order of execution.

    Example:
        >>> from cachedsl import compile_policy, load_policy
        >>> from cachedsl.plan.model_shape import ModelShape, StackShape
        >>> shape = ModelShape([StackShape("transformer_blocks", blocks=20)])
        >>> plan = compile_policy(load_policy("f8b0"), shape, num_inference_steps=28)
        >>> plan.memory({"hidden": (1, 4096, 3072)}).total  # bytes, in bfloat16
        50331648
    """

    policy_name: str
    model: str
    num_inference_steps: int | None
    cfg: Guidance
    stacks: tuple[StackPlan, ...] = field(converter=tuple[StackPlan, ...])

    def stack(self, transformer: str, name: str) -> StackPlan:
        """Return the plan of one block list, or of the chain that it is in. Raises `KeyError` where there is none."""
        for stack in self.stacks:
            members = (member for member, _ in stack.shape.members)
            if stack.transformer == transformer and name in (stack.name, *members):
                return stack
        raise KeyError(f"{transformer}.{name}")

    def to_json(self) -> str:
        """Return stable, indented JSON, which is meant to be committed. `from_json` gives an equal plan."""
        return str(_view("json")(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            PlanError: the text is no plan, or one of another version; it names the place.
        """
        plan: Plan = _view("read")(text)
        return plan

    def to_text(self) -> str:
        """Return a picture of units and steps, for a terminal."""
        return str(_view("text")(self))

    def to_mermaid(self) -> str:
        """Return the machine as a state diagram, in Mermaid's notation."""
        return str(_view("mermaid")(self))

    def explain(self) -> str:
        """Return in words what the plan does."""
        return str(_view("words")(self))

    def memory(
        self,
        shapes: Mapping[str, tuple[int, ...]] | Mapping[str, Mapping[str, tuple[int, ...]]],
        *,
        element_size: int = 2,
        branches: int | None = None,
    ) -> Memory:
        """Count the bytes that a run holds between steps: of all (`total`), and on the CPU alone (`on_cpu`).

        Args:
            shapes: of what the blocks return: `hidden` and, where there is one, `encoder`, each `(batch, tokens,
                channels)`; `latent` too, for a signal that goes by the model's input. One mapping for all stacks, or
                one for each by its qualified name (`"transformer.transformer_blocks"`).
            element_size: bytes of an element; 2 is bfloat16.
            branches: transformer calls a step; by default 2 where the plan says `cfg: separate`, else 1.

        Raises:
            KeyError: a shape is missing; it says which.
        """
        found: Memory = _view("memory")(self, shapes, element_size=element_size, branches=branches)
        return found

    def cost(self) -> Cost:
        """Count the blocks that run in one CFG branch: exactly where nothing is measured, else between two bounds.

        Raises:
            ValueError: the plan has no step count.
        """
        found: Cost = _view("cost")(self)
        return found

    def __str__(self) -> str:
        steps = "unknown steps" if self.num_inference_steps is None else f"{self.num_inference_steps} steps"
        return f"{self.policy_name} on {self.model}, {steps}: {'; '.join(map(str, self.stacks))}"


VIEWS = {
    "json": "cachedsl.plan.codec:to_json",
    "read": "cachedsl.plan.codec:from_json",
    "text": "cachedsl.explain.text:to_text",
    "mermaid": "cachedsl.explain.mermaid:to_mermaid",
    "words": "cachedsl.explain.words:explain",
    "memory": "cachedsl.explain.memory:memory",
    "cost": "cachedsl.explain.cost:cost",
}
"""What can be made of a plan, by name; looked up when asked for, because a plan knows none of it."""


def _view(name: str) -> Any:
    return resolve_name(VIEWS[name])
