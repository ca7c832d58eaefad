"""What governs one stack in a plan: when it is reused, what is measured, how a result is approximated and held."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from cachedsl.plan.frozen import Frozen

Source = Literal["schedule", "model_input", "modulated_input", "unit_input", "front"]
Known = Literal["before_run", "before_call", "after_front"]
Stream = Literal["hidden", "encoder"]


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
