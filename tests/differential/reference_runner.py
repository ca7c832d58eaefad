"""Run cases under cache-dit. A script: cache-dit patches classes globally, so it never shares a process with tests.

    python -m tests.differential.reference_runner CASES.json FOLDER

reads a list of `Case` fields and writes to FOLDER, per case, what each step did (`steps.json`: case, stack, branch,
then one `{reused, value}` a step) and the output of every call in order (`outputs.pt`).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("CACHE_DIT_LOG_LEVEL", "error")

import torch
from cache_dit import (
    BlockAdapter,
    DBCacheConfig,
    DBPruneConfig,
    DMDCalibratorConfig,
    ForwardPattern,
    ParamsModifier,
    TaylorSeerCalibratorConfig,
)
from cache_dit.caching.cache_adapters import CachedAdapter
from cache_dit.caching.cache_contexts.cache_config import ExtraCacheConfig
from cache_dit.caching.patch_functors import DiTPatchFunctor

from tests.differential.cases import Case

PATTERNS = {
    "dit": ForwardPattern.Pattern_3,
    "flux": ForwardPattern.Pattern_1,
    "wan": ForwardPattern.Pattern_2,
    "cogvideox": ForwardPattern.Pattern_0,
}


def cache_config(case: Case) -> Any:
    """Translate the settings; -1 is cache-dit's word for no limit."""
    calls_per_step = len(case.branches)
    kind: Any = DBCacheConfig
    if case.prune is not None:
        dynamic = case.prune == "dynamic"
        kind = partial(DBPruneConfig, enable_dynamic_prune_threshold=dynamic, non_prune_block_ids=list(case.keep))
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


FIELDS = {"front": "Fn_compute_blocks", "back": "Bn_compute_blocks", "threshold": "residual_diff_threshold"}


def modifiers(case: Case) -> list[ParamsModifier]:
    """One modifier a stack, empty where the case overrides nothing there."""
    changes = [{FIELDS[key]: value for key, value in case.overrides.get(s, {}).items()} for s in case.stacks]
    return [ParamsModifier(cache_config=DBCacheConfig().reset(**change)) for change in changes]


def attach(case: Case, transformer: torch.nn.Module) -> None:
    """Let cache-dit take over a bare transformer."""
    adapter = BlockAdapter(
        transformer=transformer,
        blocks=[getattr(transformer, stack) for stack in case.stacks],
        forward_pattern=[PATTERNS[case.family]] * len(case.stacks),
        patch_functor=DiTPatchFunctor() if case.family == "dit" else None,
    )
    context: dict[str, Any] = {"cache_config": cache_config(case)}
    if case.overrides:
        adapter.params_modifiers = modifiers(case)
    if case.taylor is not None:
        context["calibrator_config"] = TaylorSeerCalibratorConfig(taylorseer_order=case.taylor)
    if case.dmd is not None:
        context["calibrator_config"] = DMDCalibratorConfig(dmd_history=case.dmd)
    extra: dict[str, Any] = {}
    if case.signal == "hidden_states":
        extra["l1_hidden_states_diff_threshold"] = case.threshold
    if case.token_floor:
        extra["important_condition_threshold"] = case.token_floor
    if case.stride > 1:
        extra["downsample_factor"] = case.stride
    if extra:
        context["extra_cache_config"] = ExtraCacheConfig(**extra)
    CachedAdapter.apply(adapter, **context)


def observe(context: Any) -> dict[str, Any]:
    """Tell what the call that just ended did in one context.

    Read after every call, not at the end of the run: a refresh throws the lists away and numbers the steps anew.
    """
    second = context.is_separate_cfg_step()
    reused = context.cfg_cached_steps if second else context.cached_steps
    values = context.cfg_residual_diffs if second else context.residual_diffs
    step = context.get_current_step()
    return {"reused": bool(reused) and reused[-1] == step, "value": values.get(str(step))}


def run(case: Case) -> tuple[dict[str, dict[str, list[dict[str, Any]]]], list[torch.Tensor]]:
    transformer = case.transformer()
    attach(case, transformer)
    steps: dict[str, dict[str, list[dict[str, Any]]]] = {
        stack: {branch: [] for branch in case.branches} for stack in case.stacks
    }
    outputs = []
    for _, branch, arguments in case.calls(transformer):
        outputs.append(transformer(**arguments, return_dict=False)[0])
        for stack, name in zip(case.stacks, transformer._context_names, strict=True):
            steps[stack][branch].append(observe(transformer._context_manager.get_context(name)))
    return steps, outputs


def main(cases: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    steps, outputs = {}, {}
    for fields in json.loads(cases.read_text(encoding="utf-8")):
        case = Case(**fields)
        steps[case.name], outputs[case.name] = run(case)
    (folder / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    torch.save(outputs, folder / "outputs.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
