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
from pathlib import Path
from typing import Any

os.environ.setdefault("CACHE_DIT_LOG_LEVEL", "error")

import cache_dit
import torch
from cache_dit.caching.cache_adapters import CachedAdapter
from cache_dit.caching.cache_contexts.cache_config import ExtraCacheConfig
from cache_dit.caching.patch_functors import DiTPatchFunctor

from tests.differential.as_cache_dit import adapter_and_context
from tests.differential.cases import Case


def attach(case: Case, transformer: torch.nn.Module) -> None:
    """Let cache-dit take over a bare transformer."""
    adapter, context = adapter_and_context(cache_dit, case, transformer, DiTPatchFunctor())
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
