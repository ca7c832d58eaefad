"""Turn a checked long-form tree into the typed policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from cachedsl.policy.merge import Tree
from cachedsl.policy.model import Origin, Policy
from cachedsl.policy.overrides import (
    UNSET,
    PartialAccumulated,
    PartialCompute,
    PartialDynamic,
    PartialPredict,
    PartialPrune,
    PartialReuse,
    PartialWarmup,
    StackOverride,
)
from cachedsl.policy.parts import (
    Accumulated,
    AtMask,
    BitMask,
    BudgetMask,
    Cfg,
    Compute,
    Dynamic,
    EveryMask,
    Mask,
    Predict,
    PresetMask,
    Prune,
    Refresh,
    Reuse,
    RunsMask,
    Warmup,
)
from cachedsl.policy.signal import SIGNALS, Ratios, Signal


def to_policy(tree: Tree, name: str, origin: Origin | None) -> Policy:
    """Return the policy that `tree` (long form, without nulls) means; `name` where the tree has none."""
    return Policy(
        name=tree.get("name", name),
        description=tree.get("description", ""),
        compute=Compute(**_compute(tree.get("compute", {}))),
        warmup=Warmup(**_counts(tree.get("warmup", {}))),
        tail=int(tree.get("tail", 0)),
        reuse=Reuse(**_reuse(tree.get("reuse", {}))),
        predict=Predict(**_predict(tree.get("predict", {}))),
        cfg=Cfg(**tree.get("cfg", {})),
        steps=to_mask(tree.get("steps")),
        refresh=_refresh(tree.get("refresh")),
        prune=_prune(tree.get("prune")),
        span=tree.get("span", "stack"),
        stacks=tuple((key, to_override(partial)) for key, partial in tree.get("stacks", {}).items()),
        origin=origin,
    )


def to_override(partial: Tree) -> StackOverride:
    """Return one entry of `stacks`: what it names is set, an explicit null to the default."""
    fields: dict[str, Any] = {}
    for key, value in partial.items():
        if value is None:
            fields[key] = _whole_default(key)
        elif key == "compute":
            fields[key] = PartialCompute(**_partial(_compute(value), Compute()))
        elif key == "warmup":
            fields[key] = PartialWarmup(**_partial(_counts(value), Warmup()))
        elif key == "reuse":
            fields[key] = _partial_reuse(value)
        elif key == "predict":
            fields[key] = PartialPredict(**_partial(_predict(value), Predict()))
        elif key == "steps":
            fields[key] = to_mask(value)
        elif key == "refresh":
            fields[key] = _refresh(value)
        elif key == "prune":
            fields[key] = _partial_prune(value)
        else:
            fields[key] = int(value)
    return StackOverride(**fields)


def _whole_default(key: str) -> Any:
    """Return an override that sets every part of `key` to its default."""
    wholes: dict[str, tuple[Any, Any]] = {
        "compute": (PartialCompute, Compute()),
        "warmup": (PartialWarmup, Warmup()),
        "reuse": (PartialReuse, Reuse()),
        "predict": (PartialPredict, Predict()),
    }
    if key not in wholes:
        return getattr(Policy(), key)
    partial, default = wholes[key]
    return partial(**{a.name: getattr(default, a.name) for a in attrs.fields(type(default))})


def _partial(values: Tree, defaults: Any) -> Tree:
    return {key: getattr(defaults, key) if value is None else value for key, value in values.items()}


def _partial_reuse(tree: Tree) -> PartialReuse:
    fields = _partial(_reuse(tree), Reuse())
    bound = tree.get("max_accumulated")
    if bound is not None:
        reset: Any = (bound["reset"] or "on_compute") if "reset" in bound else UNSET
        fields["max_accumulated"] = PartialAccumulated(float(bound["limit"]), reset)
    return PartialReuse(**fields)


def _partial_prune(tree: Tree) -> PartialPrune:
    converters: dict[str, Callable[[Any], Any]] = {"keep": _indices, "dynamic": _partial_dynamic}
    fields: Tree = {
        key: None if value is None else converters.get(key, int)(value)
        for key, value in _partial(tree, Prune()).items()
    }
    return PartialPrune(**fields)


def _partial_dynamic(tree: Tree) -> PartialDynamic:
    fields: Tree = {key: None if value is None else float(value) for key, value in _partial(tree, Dynamic()).items()}
    return PartialDynamic(**fields)


def _compute(tree: Tree) -> Tree:
    converters: dict[str, Callable[[Any], Any]] = {"back_blocks": _indices, "back_threshold": float}
    return {key: None if value is None else converters.get(key, int)(value) for key, value in tree.items()}


def _indices(values: list[Any]) -> tuple[int, ...]:
    return tuple(sorted({int(value) for value in values}))


def _prune(tree: Tree | None) -> Prune | None:
    if tree is None:
        return None
    dynamic = tree.get("dynamic")
    if dynamic is not None:
        dynamic = Dynamic(**{key: float(value) for key, value in dynamic.items() if value is not None})
    return Prune(_indices(tree.get("keep") or []), dynamic, int(tree.get("update_interval") or 1))


def _counts(tree: Tree) -> Tree:
    return {key: None if value is None else int(value) for key, value in tree.items()}


def _reuse(tree: Tree) -> Tree:
    fields = dict(tree)
    for key in ("max_total", "max_continuous"):
        if fields.get(key) is not None:
            fields[key] = int(fields[key])
    threshold = fields.get("threshold")
    if threshold is not None and threshold != "always":
        fields["threshold"] = float(threshold)
    if "signal" in fields:
        fields["signal"] = _signal(fields["signal"])
    bound = fields.get("max_accumulated")
    if bound is not None:
        fields["max_accumulated"] = Accumulated(float(bound["limit"]), bound.get("reset") or "on_compute")
    return fields


def _signal(tree: Tree | None) -> Signal | None:
    """Return the signal that a long-form mapping means: what its tap stands for, with what is written laid over."""
    if tree is None:
        return None
    fields: dict[str, Any] = {key: value for key, value in tree.items() if value is not None and key != "tap"}
    converters: dict[str, Callable[[Any], Any]] = {
        "rescale": _floats,
        "stride": int,
        "token_floor": float,
        "exponent": float,
        "ratios": _ratios,
    }
    made = {key: converters.get(key, str)(value) for key, value in fields.items()}
    return attrs.evolve(SIGNALS[tree.get("tap") or "residual"], **made)


def _ratios(value: Any) -> Ratios:
    if isinstance(value, dict):
        return Ratios(branches=tuple((branch, _floats(row)) for branch, row in value.items()))
    return Ratios(values=_floats(value))


def _floats(values: list[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _predict(tree: Tree) -> Tree:
    converters: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("order", "history", "rank", "horizon"), int),
        **dict.fromkeys(("scale", "ridge", "repay"), float),
        "streams": tuple,
        "clip": _floats,
    }
    return {key: None if value is None else converters.get(key, str)(value) for key, value in tree.items()}


def _refresh(tree: Tree | None) -> Refresh | None:
    return None if tree is None else Refresh(int(tree["at"]), bool(tree.get("repeat")))


def to_mask(tree: Tree | None) -> Mask | None:
    """Return the mask that a long-form `steps` mapping means; the checks have seen that it has one form."""
    if tree is None:
        return None
    otherwise: Any = tree.get("otherwise") or "dynamic"
    if "bits" in tree:
        return BitMask(tree["bits"], otherwise)
    if "at" in tree:
        return AtMask(tuple(sorted({int(step) for step in tree["at"]})), otherwise)
    if "preset" in tree:
        return PresetMask(tree["preset"], otherwise)
    if "every" in tree:
        return EveryMask(int(tree["every"]), int(tree.get("from") or 0), otherwise)
    if "budget" in tree:
        power = tree.get("power")
        return BudgetMask(int(tree["budget"]), 1.0 if power is None else float(power), otherwise)
    return RunsMask([int(n) for n in tree["compute"]], [int(n) for n in tree["cache"]], otherwise)


__all__ = ["UNSET", "to_mask", "to_override", "to_policy"]
