"""A plan: what a policy comes to on one model, as data.

A plan holds no policy. The machine, the simulation, explanations, memory and differences work from a plan alone, also
from one that was read from JSON (`cachedsl.plan.codec`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from cachedsl.plan.frozen import Frozen
from cachedsl.plan.model_shape import StackShape
from cachedsl.plan.views import view

if TYPE_CHECKING:
    from cachedsl.explain.cost import Cost
    from cachedsl.explain.memory import Memory

UnitKind = Literal["middle", "pruned", "back"]
Verdict = Literal["compute", "reuse", "open"]
Source = Literal["schedule", "model_input", "modulated_input", "unit_input", "front"]
Known = Literal["before_run", "before_call", "after_front"]
Stream = Literal["hidden", "encoder"]


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
class Holds:
    """What a signal keeps between steps for each unit.

    Attributes:
        stream: whose shape the kept tensors have: `hidden`, `modulated` (else `hidden`) or `latent`; none is nothing.
        tensors: how many.
        strided: whether only every `stride`-th channel is kept.
        float32: whether they are kept in float32, whatever the model computes in.
        numbers: single float32 numbers beside them.
    """

    stream: Literal["hidden", "modulated", "latent"] | None = None
    tensors: int = 1
    strided: bool = False
    float32: bool = False
    numbers: int = 0


@frozen
class SignalPlan:
    """What is measured to decide over a unit.

    Attributes:
        tap: its name, by which an executor finds how it is measured.
        source: where the tap is taken from; it tells when the signal is known.
        accumulate: what is compared with the threshold: the value, its sum since the last computed step, or its sum
            over the run.
        observes: whether it is looked at on every step, because the next one is compared with it.
        anchors: how many computed steps it needs before it can be measured.
        parameters: the tap's parameters, every one that it reads.
        words: what is looked at, or what the value is, in words.
        holds: what it keeps between steps.
    """

    tap: str
    source: Source
    accumulate: Literal["none", "until_compute", "lifetime"] = "none"
    observes: bool = False
    anchors: int = 1
    parameters: Frozen = field(factory=Frozen)
    words: str = ""
    holds: Holds = Holds()

    @property
    def known(self) -> Known:
        """When its value can be known: before the run, before the model is called, or after the front blocks."""
        if self.source == "schedule":
            return "before_run"
        return "after_front" if self.source == "front" else "before_call"


@frozen
class PredictPlan:
    """How a reused result is approximated.

    Attributes:
        method: its name, by which an executor finds the predictor.
        parameters: the method's parameters, every one that it reads.
        words: how it extrapolates, in words; empty where it copies.
        anchors: tensors of a stream's size that it holds once it has seen enough computed steps.
        repay_anchors: computed results that `repay` holds beside those.
        probes: tensors of the front blocks' movement that it holds.
        target: what is extrapolated: what the blocks add, or what they return.
        streams: which streams are extrapolated; None is all of them.
        clock: what distance is measured in.
        repay: how much of what the last gap was off by is taken back on each reused step.
        horizon: more steps than this after the last computed one, it copies.
    """

    method: str = "copy"
    parameters: Frozen = field(factory=Frozen)
    words: str = ""
    anchors: int = 1
    repay_anchors: int = 0
    probes: int = 0
    target: Literal["residual", "hidden_states"] = "residual"
    streams: tuple[Stream, ...] | None = None
    clock: Literal["step", "timestep", "sigma"] = "step"
    repay: float = 0.0
    horizon: int | None = None

    @property
    def taps_front(self) -> bool:
        """Whether it goes by the movement of the front blocks."""
        return self.probes > 0


@frozen
class FeaturesPlan:
    """How what is kept between steps is held.

    Attributes:
        dtype: in which dtype; none is as the blocks return it.
        device: where; none is where the blocks return it.
    """

    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    device: Literal["cpu"] | None = None


@frozen
class PrunePlan:
    """How single blocks decide.

    Attributes:
        relax: by what the mean of a step's first values is multiplied; None for a threshold that does not adapt.
        max: the bound of a threshold that adapts; None is twice the threshold.
        update_interval: what a block is reused with is replaced on own steps that are a multiple of this.
    """

    relax: float | None = None
    max: float | None = None
    update_interval: int = 1


@frozen
class Rules:
    """What governs one stack, every default in place.

    Attributes:
        threshold: a step is reused below it; `always` measures nothing, 0 computes every step.
        signal: what decides over middle and pruned units; None where nothing is measured.
        warmup: own steps since the last refresh that are computed; with a mask, at most its leading ones.
        warmup_interval: only every k-th of them is forced.
        tail: last steps of the run that are computed.
        otherwise: what a 0 of the mask means: measure, or reuse without; None without a mask.
        max_total: reused steps of a run.
        max_continuous: reused steps in a row.
        max_accumulated: a step is computed once the sum of measured values reaches it.
        reset: when that sum begins anew.
        refresh: history is dropped before this own step.
        refresh_repeat: whether it is dropped before each multiple of that step, too.
        prune: how single blocks decide; None where the middle is one unit.
        back_threshold: a back block that decides for itself runs when its input moved by at least this.
        back_signal: what such a back block measures.
        predict: how a reused result is approximated.
        features: how what is kept for that is held; None is as the blocks return it.
    """

    threshold: float | Literal["always"] = 0.08
    signal: SignalPlan | None = None
    warmup: int = 0
    warmup_interval: int = 1
    tail: int = 0
    otherwise: Literal["dynamic", "static"] | None = None
    max_total: int | None = None
    max_continuous: int | None = None
    max_accumulated: float | None = None
    reset: Literal["on_compute", "never"] = "on_compute"
    refresh: int | None = None
    refresh_repeat: bool = False
    prune: PrunePlan | None = None
    back_threshold: float | None = None
    back_signal: SignalPlan | None = None
    predict: PredictPlan = PredictPlan()
    features: FeaturesPlan | None = None

    @property
    def exact(self) -> bool:
        """Whether every step is computed, so that nothing need be held."""
        return self.threshold == 0

    @property
    def measures(self) -> bool:
        """Whether the step's verdict could ever depend on a measurement."""
        return self.threshold not in ("always", 0) and self.otherwise != "static"


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
        return str(view("json")(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            PlanError: the text is no plan, or one of another version; it names the place.
        """
        plan: Plan = view("read")(text)
        return plan

    def to_text(self) -> str:
        """Return a picture of units and steps, for a terminal."""
        return str(view("text")(self))

    def to_mermaid(self) -> str:
        """Return the machine as a state diagram, in Mermaid's notation."""
        return str(view("mermaid")(self))

    def explain(self) -> str:
        """Return in words what the plan does."""
        return str(view("words")(self))

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
        found: Memory = view("memory")(self, shapes, element_size=element_size, branches=branches)
        return found

    def cost(self) -> Cost:
        """Count the blocks that run in one CFG branch: exactly where nothing is measured, else between two bounds.

        Raises:
            ValueError: the plan has no step count.
        """
        found: Cost = view("cost")(self)
        return found

    def __str__(self) -> str:
        steps = "unknown steps" if self.num_inference_steps is None else f"{self.num_inference_steps} steps"
        return f"{self.policy_name} on {self.model}, {steps}: {'; '.join(map(str, self.stacks))}"
