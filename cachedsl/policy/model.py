"""The typed policy: what a YAML policy means, with every default in place.

Everything here is frozen, hashable and comparable. Nothing here reads text; `load.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs
from attrs import field, frozen

from cachedsl.diagnostics import Span
from cachedsl.policy.signal import SIGNALS, Signal, as_signal

if TYPE_CHECKING:
    from cachedsl.adapter_model import Adapter
    from cachedsl.runtime.session import Cached

Always = Literal["always"]
PredictMethod = Literal["copy", "taylor", "newton", "hermite", "foca", "dmd", "probe_gain"]
ClockName = Literal["step", "timestep", "sigma"]
CfgMode = Literal["auto", "fused", "separate"]


@frozen
class Unset:
    """The value of a key that a `stacks` entry leaves alone."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET = Unset()


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


@frozen
class PartialCompute:
    front: int | Unset = UNSET
    back: int | Unset = UNSET
    back_blocks: tuple[int, ...] | Unset | None = UNSET
    back_threshold: float | Unset | None = UNSET


@frozen
class PartialWarmup:
    steps: int | Unset = UNSET
    interval: int | Unset = UNSET


@frozen
class PartialAccumulated:
    limit: float
    reset: Literal["on_compute", "never"] | Unset = UNSET


@frozen
class PartialDynamic:
    relax: float | Unset = UNSET
    max: float | Unset | None = UNSET


@frozen
class PartialPrune:
    keep: tuple[int, ...] | Unset = UNSET
    dynamic: PartialDynamic | Unset | None = UNSET
    update_interval: int | Unset = UNSET


def _as_partial(value: Any) -> Any:
    """Turn a bound, or what is said of pruning, into the partial that sets all of it; anything else stays."""
    if isinstance(value, Accumulated):
        return PartialAccumulated(value.limit, value.reset)
    if isinstance(value, Prune):
        dynamic = None if value.dynamic is None else PartialDynamic(value.dynamic.relax, value.dynamic.max)
        return PartialPrune(value.keep, dynamic, value.update_interval)
    return value


@frozen
class PartialReuse:
    threshold: float | Always | Unset = UNSET
    signal: Signal | Unset = field(default=UNSET, converter=as_signal)
    max_total: int | Unset | None = UNSET
    max_continuous: int | Unset | None = UNSET
    max_accumulated: PartialAccumulated | Unset | None = field(default=UNSET, converter=_as_partial)


@frozen
class PartialPredict:
    method: PredictMethod | Unset = UNSET
    order: int | Unset = UNSET
    form: Literal["exact", "published"] | Unset = UNSET
    scale: float | Unset = UNSET
    history: int | Unset = UNSET
    rank: int | Unset = UNSET
    ridge: float | Unset = UNSET
    clip: tuple[float, float] | Unset = UNSET
    target: Literal["residual", "hidden_states"] | Unset = UNSET
    streams: tuple[Literal["hidden", "encoder"], ...] | Unset | None = UNSET
    clock: ClockName | Unset = UNSET
    repay: float | Unset = UNSET
    horizon: int | Unset | None = UNSET


@frozen
class StackOverride:
    """One entry of `stacks`: only what it names is set, key by key; the rest is `UNSET`."""

    compute: PartialCompute | Unset = UNSET
    warmup: PartialWarmup | Unset = UNSET
    tail: int | Unset = UNSET
    reuse: PartialReuse | Unset = UNSET
    predict: PartialPredict | Unset = UNSET
    steps: Mask | Unset | None = UNSET
    refresh: Refresh | Unset | None = UNSET
    prune: PartialPrune | Unset | None = field(default=UNSET, converter=_as_partial)


_PARTIALS = (
    PartialCompute,
    PartialWarmup,
    PartialReuse,
    PartialPredict,
    PartialAccumulated,
    PartialDynamic,
    PartialPrune,
)
T = TypeVar("T")


def overlay(base: T, partial: Any) -> T:
    """Return `base` with every field that `partial` sets, nested partials merged key by key."""
    changes: dict[str, Any] = {}
    for attribute in attrs.fields(type(partial)):
        value = getattr(partial, attribute.name)
        if value is UNSET:
            continue
        nested = isinstance(value, _PARTIALS)
        changes[attribute.name] = overlay(_below(getattr(base, attribute.name), value), value) if nested else value
    return attrs.evolve(base, **changes)  # type: ignore[misc]


def _below(base: Any, partial: Any) -> Any:
    """Return what `partial` is laid over: `base`, or the defaults where it is absent or of another predictor."""
    if isinstance(partial, PartialPredict) and partial.method not in (UNSET, base.method):
        return Predict()  # as with `extends`, the parameters were chosen for that predictor
    if base is not None:
        return base
    if isinstance(partial, PartialAccumulated):
        return Accumulated(partial.limit)
    return Dynamic() if isinstance(partial, PartialDynamic) else Prune()


@frozen(eq=False)
class Origin:
    """Where a policy's keys were written; findings that come after loading point there.

    `spans` maps key paths such as `("reuse", "threshold")` to the place of their value.
    """

    file: str
    spans: Mapping[tuple[str, ...], Span]

    def span(self, *path: str) -> Span:
        """Return the place of `path`, else of the nearest enclosing key, else the head of the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.spans:
                return self.spans[path[:length]]
        return Span(self.file)


@frozen
class Policy:
    """A whole policy. Load one with `cachedsl.load_policy`; `apply` it to a pipeline or a transformer."""

    name: str = "policy"
    description: str = ""
    compute: Compute = Compute()
    warmup: Warmup = Warmup()
    tail: int = 0
    reuse: Reuse = Reuse()
    predict: Predict = Predict()
    cfg: Cfg = Cfg()
    steps: Mask | None = None
    refresh: Refresh | None = None
    prune: Prune | None = None
    span: Literal["stack", "joined"] = "stack"
    stacks: tuple[tuple[str, StackOverride], ...] = field(default=(), converter=tuple[tuple[str, StackOverride], ...])
    version: Literal[1] = 1
    origin: Origin | None = field(default=None, eq=False, repr=False)

    def place(self, *path: str) -> Span:
        """Return where the value at `path` was written, for findings that come after loading."""
        return self.origin.span(*path) if self.origin else Span(self.name)

    def for_stack(self, transformer: str, stack: str) -> StackPolicy:
        """Return what governs block list `stack` of pipeline component `transformer`.

        A key of `stacks` matches the list's own name or `transformer.stack`. Matching entries are laid over the
        policy in order of specificity: short globs first, exact names last (LANGUAGE: an exact name beats a glob,
        a longer glob a shorter one).
        """
        names = [a.name for a in attrs.fields(StackPolicy)]
        resolved = StackPolicy(**{name: getattr(self, name) for name in names})
        for _, override in sorted(self._matches(transformer, stack), key=lambda match: specificity(match[0])):
            resolved = overlay(resolved, override)
        return resolved

    def _matches(self, transformer: str, stack: str) -> list[tuple[str, StackOverride]]:
        return [(key, value) for key, value in self.stacks if matches_stack(key, transformer, stack)]

    @classmethod
    def from_notation(cls, text: str) -> Policy:
        """Read compact notation such as `F8B0_W4MC3_R0.12_T1`. Raises `PolicyError` that points at the column."""
        from cachedsl.policy.notation import parse_notation

        return parse_notation(text)

    @property
    def notation(self) -> str:
        """This policy in compact notation. Raises `CachedslError` when the notation cannot express it."""
        from cachedsl.policy.notation import to_notation

        return to_notation(self)

    def expand(self) -> Policy:
        """Return the same policy with every shorthand and default written out; compiles to the same plan."""
        from cachedsl.policy.dump import expand

        return expand(self)

    def to_yaml(self) -> str:
        """Write YAML that loads as an equal policy."""
        from cachedsl.policy.dump import to_yaml

        return to_yaml(self)

    def apply(self, target: Any, num_inference_steps: int | None = None, adapter: Adapter | None = None) -> Cached:
        """Attach this policy to a diffusers pipeline or to a bare transformer; see `cachedsl.runtime.attach.attach`."""
        from cachedsl.runtime.attach import attach

        return attach(self, target, num_inference_steps=num_inference_steps, adapter=adapter)


def specificity(key: str) -> tuple[bool, int]:
    """Order `stacks` keys: globs before exact names, short before long."""
    return (not any(c in key for c in "*?["), len(key))


def matches_stack(key: str, transformer: str, stack: str) -> bool:
    """Tell whether a `stacks` key names this block list, by its own name or as `transformer.stack`."""
    return fnmatchcase(stack, key) or fnmatchcase(f"{transformer}.{stack}", key)
