"""`enable_cache` and what goes with it: configs become a policy, which is applied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from cachedsl.compat.cache_dit.adapters import BlockAdapter
from cachedsl.compat.cache_dit.attention import set_attn_backend
from cachedsl.compat.cache_dit.configs import BasicCacheConfig, CalibratorConfig, DBCacheConfig
from cachedsl.compat.cache_dit.families import called_once_a_branch
from cachedsl.compat.cache_dit.modifiers import ParamsModifier, check_options, flat_options
from cachedsl.compat.cache_dit.notices import logger, report
from cachedsl.compat.cache_dit.parallelism import ParallelismConfig
from cachedsl.compat.cache_dit.quantization import QuantizeConfig
from cachedsl.compat.cache_dit.runtime import engage_on, runtime_of
from cachedsl.compat.cache_dit.state import Enabled, Settings, enabled_on, forget, remember
from cachedsl.compat.cache_dit.targets import Target, targets_of
from cachedsl.compat.cache_dit.types import CacheType
from cachedsl.convert.cache_dit import policy_from_options
from cachedsl.convert.cache_dit import steps_mask as preset_mask
from cachedsl.convert.cache_dit.masks import bins_mask
from cachedsl.language.part import CONVERTER
from cachedsl.language.policy import Policy, Stacks
from cachedsl.language.runtime import Runtime
from cachedsl.runtime.objects import base_class


def enable_cache(
    pipe_or_adapter: Any = None,
    cache_config: BasicCacheConfig | None = None,
    calibrator_config: CalibratorConfig | None = None,
    params_modifiers: ParamsModifier | list[Any] | None = None,
    parallelism_config: ParallelismConfig | None = None,
    attention_backend: str | None = None,
    quantize_config: QuantizeConfig | None = None,
    **kwargs: Any,
) -> Any:
    """Make a policy of the configs and apply it; print it with `policy_of(pipe).to_yaml()`.

    Args:
        pipe_or_adapter: a diffusers pipeline, a transformer, or a `BlockAdapter`.
        cache_config: by default `DBCacheConfig()`; left out beside parallelism, an attention backend or quantisation,
            nothing is cached.
        calibrator_config: how reused results are approximated.
        params_modifiers: what is different for each block list, in their order.
        parallelism_config: becomes `runtime.parallel` of the policy.
        attention_backend: given to the transformers' `set_attention_backend`.
        quantize_config: becomes `runtime.quantize`.
        **kwargs: single options, as older releases take them.

    Returns:
        What was given. Where it is cached already it is left as it is, with a warning.

    Raises:
        ConversionError: something cannot be carried over; the message names the option and the way out.
        TypeError: an option that cache-dit does not have.
        CachedslError: the policy does not fit the model; nothing was changed.
    """
    check_options("enable_cache", kwargs)
    if pipe_or_adapter is None:
        raise TypeError("enable_cache() needs a pipeline, a transformer or a BlockAdapter")
    targets = targets_of(pipe_or_adapter)
    if enabled_on(pipe_or_adapter) or any(enabled_on(one.attached) for one in targets):
        logger.warning("it is cached already and is left as it is; call disable_cache() on it first")
        return pipe_or_adapter
    others = (parallelism_config, attention_backend, quantize_config)
    if cache_config is None and (kwargs or all(one is None for one in others)):
        cache_config = DBCacheConfig()
    caching = cache_config is not None and _kind(cache_config, kwargs) is not CacheType.NONE
    modifiers = params_modifiers if params_modifiers is not None else getattr(pipe_or_adapter, "params_modifiers", None)
    backend = attention_backend or getattr(parallelism_config, "attention_backend", None)
    runtimes = [runtime_of(one, parallelism_config, quantize_config) for one in targets]
    if not caching or cache_config is None:
        for target, runtime in zip(targets, runtimes, strict=True):
            engage_on(target, runtime)
    else:
        made = []
        for target, runtime in zip(targets, runtimes, strict=True):
            options = flat_options(cache_config, calibrator_config, kwargs)
            overrides = _overrides(target, modifiers)
            settings = Settings(
                cache_config, calibrator_config, options, overrides, runtime, parallelism_config, quantize_config
            )
            made.append((target, settings, policy_from_settings(target, settings)))
        remember(pipe_or_adapter, _apply_all(made))
    if backend is not None:
        set_attn_backend(pipe_or_adapter, backend)
    return pipe_or_adapter


def _kind(cache_config: BasicCacheConfig, kwargs: Mapping[str, Any]) -> CacheType:
    return CacheType.type(kwargs.get("cache_type") or cache_config.cache_type or CacheType.DBCache)


def _overrides(target: Target, modifiers: Any) -> dict[str, dict[str, Any]]:
    """Return what modifiers change, by `transformer.list`."""
    if modifiers is None:
        return {}
    flat: list[ParamsModifier] = BlockAdapter.flatten(list(modifiers) if isinstance(modifiers, tuple) else modifiers)
    flat = flat if isinstance(flat, list) else [flat]
    if len(flat) > len(target.stacks):
        there = ", ".join(target.stacks) or "none that an adapter knows"
        logger.warning(
            "%d modifiers for %d block lists (%s); the rest has no effect", len(flat), len(target.stacks), there
        )
    return {name: one.options() for name, one in zip(target.stacks, flat, strict=False) if one is not None}


def policy_from_settings(target: Target, settings: Settings) -> Policy:
    """Return the policy that settings come to on a target. Raises `ConversionError`."""
    options = dict(settings.options)
    if options.get("enable_separate_cfg") is None:
        if target.separate_cfg:
            options["enable_separate_cfg"] = True
        elif target.bare and not called_once_a_branch(base_class(target.attached).__name__):
            options["enable_separate_cfg"] = False  # nobody names the calls of a bare transformer
    converted = policy_from_options(options, overrides=settings.overrides)
    report(converted.notes)
    policy = converted.policy("cache-dit")
    if target.joined:
        policy = evolve(policy, span="joined")
    if target.idle:
        idle: Any = {name: {"reuse": {"threshold": 0}} for name in target.idle}
        policy = evolve(policy, stacks=Stacks().read({**dict(policy.stacks), **idle}))
    if settings.runtime:
        policy = evolve(policy, runtime=CONVERTER.structure(settings.runtime, Runtime))
    return policy


def _apply_all(made: list[tuple[Target, Settings, Policy]]) -> list[Enabled]:
    """Apply each policy; where one does not fit, none is applied."""
    done: list[Enabled] = []
    try:
        for target, settings, policy in made:
            done.append(_apply(target, settings, policy))
    except BaseException:
        for one in done:
            one.cached.remove()
        raise
    return done


def _apply(target: Target, settings: Settings, policy: Policy) -> Enabled:
    steps = settings.options.get("num_inference_steps") if target.bare else None
    cached = policy.apply(target.attached, num_inference_steps=steps, adapter=target.adapter)
    return Enabled(target, settings, policy, cached, steps)


def disable_cache(pipe_or_adapter: Any) -> None:
    """Remove what `enable_cache` applied: the model computes every step again. Quantised and split models stay so."""
    found = enabled_on(pipe_or_adapter)
    if not found:
        logger.warning("%s is not cached", type(pipe_or_adapter).__name__)
    for one in found:
        one.cached.remove()
    forget(found)


def refresh_context(transformer: Any, **force_refresh_kwargs: Any) -> None:
    """Give the next runs of a bare transformer another step count, or other settings.

    Args:
        transformer: what `enable_cache` was given.
        **force_refresh_kwargs: `cache_config` and `calibrator_config`, of which what is not None replaces what there
            is, or single options such as `num_inference_steps`; and `verbose`, which prints the policy.

    Raises:
        ConversionError: something cannot be carried over.
        CachedslError: the policy does not fit the model; what was there goes on.
        TypeError: an option that cache-dit does not have, or that stands beside `cache_config`.
    """
    verbose = bool(force_refresh_kwargs.pop("verbose", False))
    config = force_refresh_kwargs.pop("cache_config", None)
    calibrator = force_refresh_kwargs.pop("calibrator_config", None)
    if config is not None and force_refresh_kwargs:
        raise TypeError(f"refresh_context(): put {', '.join(force_refresh_kwargs)} into `cache_config`")
    check_options("refresh_context", force_refresh_kwargs)
    found = enabled_on(transformer)
    if not found or not all(one.target.bare for one in found):
        what = "is not cached" if not found else "is a pipeline, which tells the steps of each run itself"
        logger.warning("%s %s; nothing is refreshed", type(transformer).__name__, what)
        return
    changes = flat_options(config, calibrator, force_refresh_kwargs)
    renewed = [_refreshed(one, changes, config, calibrator) for one in found]
    for one, (settings, policy) in zip(found, renewed, strict=True):
        one.cached.remove()
        try:
            fresh = _apply(one.target, settings, policy)
        except BaseException:
            one.cached = _apply(one.target, one.settings, one.policy).cached
            raise
        one.settings, one.policy, one.cached, one.steps = settings, policy, fresh.cached, fresh.steps
        if verbose:
            print(policy.to_yaml())


def _refreshed(
    one: Enabled, changes: Mapping[str, Any], config: BasicCacheConfig | None, calibrator: CalibratorConfig | None
) -> tuple[Settings, Policy]:
    before = one.settings
    settings = evolve(
        before,
        cache_config=config or before.cache_config,
        calibrator_config=calibrator or before.calibrator_config,
        options={**before.options, **changes},
    )
    return settings, policy_from_settings(one.target, settings)


def policy_of(pipe_or_adapter: Any) -> Policy:
    """Return the policy that `enable_cache` came to: `print(policy_of(pipe).to_yaml())`.

    Raises:
        ValueError: nothing is enabled there.
    """
    found = enabled_on(pipe_or_adapter)
    if not found:
        raise ValueError(f"{type(pipe_or_adapter).__name__} is not cached; call enable_cache() first")
    return found[0].policy


def steps_mask(
    compute_bins: list[int] | None = None,
    cache_bins: list[int] | None = None,
    total_steps: int | None = None,
    mask_policy: str | None = "medium",
) -> list[int]:
    """Return a step mask, 1 = compute: of bins where both are given, else that of a preset for `total_steps`.

    Raises:
        ValueError: the bins are shorter than `total_steps`, or there is no such preset.
    """
    if compute_bins is not None and cache_bins is not None:
        bits = bins_mask(compute_bins, cache_bins, total_steps)
    elif total_steps is None:
        raise ValueError("steps_mask() needs `total_steps` for a preset, or both `compute_bins` and `cache_bins`")
    else:
        bits = preset_mask(str(mask_policy), total_steps)
    return [int(bit) for bit in bits]
