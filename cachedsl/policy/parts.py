"""The parts of a typed policy, one class for each key of a policy, with its defaults; step masks among them."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from cachedsl.policy.signal import SIGNALS, Signal, as_signal

Always = Literal["always"]
PredictMethod = Literal["copy", "taylor", "newton", "hermite", "foca", "dmd", "probe_gain"]
ClockName = Literal["step", "timestep", "sigma"]
CfgMode = Literal["auto", "fused", "separate"]


@frozen
class Compute:
    """How many blocks of every stack always run, at its front and at its back.

    With `back_blocks` only those of the back (indices from 0 within it) always run: on reused steps each other back
    block runs when its own input moved by at least `back_threshold` since it last ran, else it adds its last residual.
    """

    front: int = 8
    back: int = 0
    back_blocks: tuple[int, ...] | None = None
    back_threshold: float | None = None


@frozen
class Warmup:
    """Steps at the head of the run that are computed in full; with `interval` k, only every k-th of them."""

    steps: int = 8
    interval: int = 1


@frozen
class Accumulated:
    """A bound on the sum of measured values; `never` makes it a budget for the whole run."""

    limit: float
    reset: Literal["on_compute", "never"] = "on_compute"


@frozen
class Reuse:
    """When a step may be reused. `threshold` `always` measures nothing; 0 computes every step.

    `signal` takes the name of a tap, too.
    """

    threshold: float | Always = 0.08
    signal: Signal = field(default=Signal(), converter=as_signal)
    max_total: int | None = None
    max_continuous: int | None = None
    max_accumulated: Accumulated | None = None


@frozen
class Predict:
    """How a reused result is approximated; `PREDICT_PARAMETERS` says which method reads which parameter.

    Attributes:
        method: the predictor.
        order: of the polynomial.
        form: of `taylor`: `exact` on polynomials of its order, or as `published`.
        scale: of `hermite`, the contraction of its basis.
        history: of `dmd`, how many anchors it fits.
        rank: of `dmd`, how many modes it keeps; 0 is as many as the anchors show.
        ridge: of `dmd`, its regularisation, relative to the largest singular value.
        clip: of `probe_gain`, the bounds of the gain.
        target: what is extrapolated, the unit's residual or its output.
        streams: which streams are; None is every stream that the blocks return. The others are copied.
        clock: what distance is measured in.
        repay: how much of what the last gap's predictions were off by is taken back on each reused step.
        horizon: more steps than this after the last computed one, the predictor copies; None is no limit.
    """

    method: PredictMethod = "copy"
    order: int = 1
    form: Literal["exact", "published"] = "exact"
    scale: float = 0.5
    history: int = 6
    rank: int = 0
    ridge: float = 1e-8
    clip: tuple[float, float] = (1.0, 1.5)
    target: Literal["residual", "hidden_states"] = "residual"
    streams: tuple[Literal["hidden", "encoder"], ...] | None = None
    clock: ClockName = "step"
    repay: float = 0.0
    horizon: int | None = None


_SHARED = ("target", "streams", "clock", "repay", "horizon")
PREDICT_PARAMETERS: dict[str, tuple[str, ...]] = {
    "copy": ("target", "repay"),
    "taylor": ("order", "form", *_SHARED),
    "newton": ("order", *_SHARED),
    "hermite": ("order", "scale", *_SHARED),
    "foca": _SHARED,
    "dmd": ("history", "rank", "ridge", *_SHARED),
    "probe_gain": ("clip", "target", "streams", "repay", "horizon"),
}


@frozen
class Dynamic:
    """A threshold that grows with the step: `relax` times the mean of what was measured, up to `max` (2 thresholds)."""

    relax: float = 1.25
    max: float | None = None


@frozen
class Prune:
    """Every block decides for itself (Dynamic Block Prune).

    Attributes:
        keep: block indices that are never pruned.
        dynamic: how the threshold adapts to the step; None is a fixed one.
        update_interval: only on every k-th step does a computed block replace what it would be reused with.
    """

    keep: tuple[int, ...] = ()
    dynamic: Dynamic | None = None
    update_interval: int = 1


@frozen
class Refresh:
    """Drop all history before step `at` (0-based), or before every multiple of `at` when `repeat`."""

    at: int
    repeat: bool = False


@frozen
class Cfg:
    """How classifier-free guidance reaches the transformer, and whether its branches decide together."""

    mode: CfgMode = "auto"
    order: Literal["cond_first", "uncond_first"] = "cond_first"
    decision: Literal["per_branch", "follow_first"] = "per_branch"


@frozen
class BitMask:
    """A literal step mask: `bits` is a string of 0 and 1, 1 = compute; its length is the run's step count."""

    bits: str
    otherwise: Literal["dynamic", "static"] = "dynamic"


@frozen
class RunsMask:
    """Runs of computed and reused steps in turn, computed first; a longer run is completed with computed steps."""

    compute: tuple[int, ...] = field(converter=tuple[int, ...])
    cache: tuple[int, ...] = field(converter=tuple[int, ...])
    otherwise: Literal["dynamic", "static"] = "dynamic"


@frozen
class AtMask:
    """The computed steps, by index from 0; every other step is a 0 of the mask."""

    at: tuple[int, ...] = field(converter=tuple[int, ...])
    otherwise: Literal["dynamic", "static"] = "dynamic"


PresetName = Literal["slow", "medium", "fast", "ultra"]


@frozen
class PresetMask:
    """A published step mask, designed for 28 and few-step runs, scaled for other counts."""

    preset: PresetName
    otherwise: Literal["dynamic", "static"] = "dynamic"


@frozen
class EveryMask:
    """Steps before `from_` are computed, and from there every `every`-th."""

    every: int
    from_: int = 0
    otherwise: Literal["dynamic", "static"] = "dynamic"


@frozen
class BudgetMask:
    """`budget` computed steps: the first two, the last, the others spaced as j^power between them."""

    budget: int
    power: float = 1.0
    otherwise: Literal["dynamic", "static"] = "dynamic"


Mask = BitMask | RunsMask | AtMask | PresetMask | EveryMask | BudgetMask


@frozen
class StackPolicy:
    """What governs one stack of one transformer, defaults and overrides resolved."""

    compute: Compute = Compute()
    warmup: Warmup = Warmup()
    tail: int = 0
    reuse: Reuse = Reuse()
    predict: Predict = Predict()
    steps: Mask | None = None
    refresh: Refresh | None = None
    prune: Prune | None = None

    @property
    def measures(self) -> bool:
        """Whether any step could ever ask for a measurement."""
        static_mask = self.steps is not None and self.steps.otherwise == "static"
        return self.reuse.threshold not in ("always", 0) and not static_mask

    @property
    def signal(self) -> Signal | None:
        """What decides over the middle; None where nothing is measured, a pruned block measures its own input."""
        if not self.measures:
            return None
        return SIGNALS["block_input"] if self.prune is not None else self.reuse.signal

    @property
    def needs_front(self) -> bool:
        """Whether what is measured, or predicted with, is seen at the front blocks."""
        return self.predict.method == "probe_gain" or (self.signal is not None and self.signal.after_front)
