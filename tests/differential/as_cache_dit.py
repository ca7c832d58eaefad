"""The settings of a case in cache-dit's own words: one code for cache-dit and for `cachedsl.compat.cache_dit`.

`cd` is the module that is imported: all that differs between the two.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.differential.cases import Case

PATTERNS = {"dit": "Pattern_3", "flux": "Pattern_1", "wan": "Pattern_2", "cogvideox": "Pattern_0"}
FIELDS = {"front": "Fn_compute_blocks", "back": "Bn_compute_blocks", "threshold": "residual_diff_threshold"}


def cache_config(cd: Any, case: Case) -> Any:
    """Translate the settings; -1 is cache-dit's word for no limit."""
    calls_per_step = len(case.branches)
    kind: Any = cd.DBCacheConfig
    if case.prune is not None:
        dynamic = case.prune == "dynamic"
        kind = partial(cd.DBPruneConfig, enable_dynamic_prune_threshold=dynamic, non_prune_block_ids=list(case.keep))
    return kind(
        Fn_compute_blocks=case.front,
        Bn_compute_blocks=case.back,
        residual_diff_threshold=case.threshold,
        max_warmup_steps=case.warmup,
        warmup_interval=case.warmup_interval,
        max_cached_steps=-1 if case.max_total is None else case.max_total,
        max_continuous_cached_steps=-1 if case.max_continuous is None else case.max_continuous,
        max_accumulated_residual_diff_threshold=case.max_accumulated,
        enable_separate_cfg=case.cfg == "separate",
        cfg_compute_first=case.uncond_first,
        cfg_diff_compute_separate=not (case.follow_first or case.uncond_first),
        num_inference_steps=case.steps,
        steps_computation_mask=None if case.mask is None else [int(bit) for bit in case.mask],
        steps_computation_policy=case.otherwise,
        force_refresh_step_hint=None if case.refresh_at is None else case.refresh_at * calls_per_step,
        force_refresh_step_policy="repeat" if case.refresh_repeat else "once",
    )


def modifiers(cd: Any, case: Case) -> list[Any]:
    """One modifier a stack, empty where the case overrides nothing there."""
    changes = [{FIELDS[key]: value for key, value in case.overrides.get(s, {}).items()} for s in case.stacks]
    return [cd.ParamsModifier(cache_config=cd.DBCacheConfig().reset(**change)) for change in changes]


def adapter_and_context(cd: Any, case: Case, transformer: torch.nn.Module, functor: Any) -> tuple[Any, dict[str, Any]]:
    """Return the adapter of a bare transformer, and the configs that go with it; `functor` is DiT's patch functor."""
    adapter = cd.BlockAdapter(
        transformer=transformer,
        blocks=[getattr(transformer, stack) for stack in case.stacks],
        forward_pattern=[getattr(cd.ForwardPattern, PATTERNS[case.family])] * len(case.stacks),
        patch_functor=functor if case.family == "dit" else None,
    )
    context: dict[str, Any] = {"cache_config": cache_config(cd, case)}
    if case.overrides:
        adapter.params_modifiers = modifiers(cd, case)
    if case.taylor is not None:
        context["calibrator_config"] = cd.TaylorSeerCalibratorConfig(taylorseer_order=case.taylor)
    if case.dmd is not None:
        context["calibrator_config"] = cd.DMDCalibratorConfig(dmd_history=case.dmd)
    return adapter, context
