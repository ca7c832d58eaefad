"""What an entry of `stacks` sets: parts of which only the named keys are there, and how they are laid over a whole."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import attrs
from attrs import field, frozen

from cachedsl.policy.parts import Accumulated, Always, ClockName, Dynamic, Mask, Predict, PredictMethod, Prune, Refresh
from cachedsl.policy.signal import Signal, as_signal


@frozen
class Unset:
    """The value of a key that a `stacks` entry leaves alone."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET = Unset()


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
