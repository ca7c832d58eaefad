"""What happened in the last run, in cache-dit's words, and tags for file names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from cachedsl.compat.cache_dit.configs import BasicCacheConfig
from cachedsl.compat.cache_dit.loading import load_configs
from cachedsl.compat.cache_dit.state import Enabled, enabled_on
from cachedsl.compat.cache_dit.types import CacheType
from cachedsl.matching.supported import supported_matrix as matrix_of_adapters
from cachedsl.trace import StepRecord


@dataclasses.dataclass
class CacheStats:
    """One block list over the last run; `cfg_...` is the unconditional branch, where it has calls of its own.

    Attributes:
        cache_options: `cache_config` and `calibrator_config`, as they were given, and the list's `name`.
        cached_steps: the steps that were reused; of pruning, those with a pruned block. Steps are counted from the
            transformer's own first one.
        residual_diffs: what was measured, by step; of pruning, a list of one value a block.
        accumulated_executed_steps: the steps of the run.
        accumulated_transformer_executed_steps: the transformer's calls.
        pruned_blocks: of pruning, how many blocks were skipped in each step; `actual_blocks` how many there are.
        pruned_ratio: the skipped ones of all.
    """

    cache_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    cached_steps: list[int] = dataclasses.field(default_factory=list)
    residual_diffs: dict[str, Any] = dataclasses.field(default_factory=dict)
    cfg_cached_steps: list[int] = dataclasses.field(default_factory=list)
    cfg_residual_diffs: dict[str, Any] = dataclasses.field(default_factory=dict)
    accumulated_cached_steps: int = 0
    cfg_accumulated_cached_steps: int = 0
    accumulated_executed_steps: int = 0
    accumulated_transformer_executed_steps: int = 0
    pruned_steps: list[int] = dataclasses.field(default_factory=list)
    pruned_blocks: list[int] = dataclasses.field(default_factory=list)
    actual_blocks: list[int] = dataclasses.field(default_factory=list)
    pruned_ratio: float | None = None
    cfg_pruned_steps: list[int] = dataclasses.field(default_factory=list)
    cfg_pruned_blocks: list[int] = dataclasses.field(default_factory=list)
    cfg_actual_blocks: list[int] = dataclasses.field(default_factory=list)
    cfg_pruned_ratio: float | None = None
    parallelism_config: Any = None
    quantize_config: Any = None


def summary(adapter_or_others: Any, details: bool = False, logging: bool = True, **kwargs: Any) -> list[CacheStats]:
    """Return what the last run did, block list by block list; the last entry stands for the whole transformer.

    Args:
        adapter_or_others: what `enable_cache` was given.
        details: print every step too.
        logging: print a table.
    """
    found = enabled_on(adapter_or_others)
    stats: list[CacheStats] = []
    for one in found:
        table = one.cached.summary()
        if logging:
            print(table)
        if logging and details and table.run is not None:
            print("\n".join(_line(step) for step in one.cached.trace.steps(run=table.run)))
        stats += _stats(one, [] if table.run is None else list(one.cached.trace.steps(run=table.run)))
    return stats or [CacheStats()]


def _line(step: StepRecord) -> str:
    value = "" if step.value is None else f", measured {step.value:.4g}"
    return f"{step.transformer}.{step.stack} {step.branch} step {step.step}: {step.outcome} ({step.reason}){value}"


def _stats(one: Enabled, steps: list[StepRecord]) -> list[CacheStats]:
    """Return one entry for each block list, and of each transformer the last one again, for the whole."""
    found: list[CacheStats] = []
    for transformer in dict.fromkeys(step.transformer for step in steps):
        own = [step for step in steps if step.transformer == transformer]
        lists = [
            _of_list(one, [step for step in own if step.stack == stack])
            for stack in dict.fromkeys(s.stack for s in own)
        ]
        found += [*lists, dataclasses.replace(lists[-1])]
    return found or [CacheStats(cache_options=_options(one, ""))]


def _options(one: Enabled, name: str) -> dict[str, Any]:
    settings = one.settings
    return {"cache_config": settings.cache_config, "calibrator_config": settings.calibrator_config, "name": name}


def _of_list(one: Enabled, steps: list[StepRecord]) -> CacheStats:
    plain = [step for step in steps if step.branch != "uncond"]
    guided = [step for step in steps if step.branch == "uncond"]
    if not plain:
        plain, guided = guided, []
    pruned = one.policy.for_stack(steps[0].transformer, steps[0].stack).prune is not None
    fields = {**_of_branch(plain, pruned), **{f"cfg_{key}": value for key, value in _of_branch(guided, pruned).items()}}
    return CacheStats(
        cache_options=_options(one, f"{steps[0].transformer}.{steps[0].stack}"),
        accumulated_executed_steps=len(plain),
        accumulated_transformer_executed_steps=len(steps),
        parallelism_config=one.settings.parallelism_config,
        quantize_config=one.settings.quantize_config,
        **fields,
    )


def _of_branch(steps: list[StepRecord], pruned: bool) -> dict[str, Any]:
    reused = [at for at, step in enumerate(steps) if step.outcome == "reused"]
    values = {str(at): [u.value for u in step.units if u.value is not None] for at, step in enumerate(steps)}
    measured = {step: row if pruned else row[0] for step, row in values.items() if row}
    found: dict[str, Any] = {
        "cached_steps": reused,
        "residual_diffs": measured,
        "accumulated_cached_steps": len(reused),
    }
    if pruned:
        skipped, blocks = [step.blocks - step.blocks_run for step in steps], [step.blocks for step in steps]
        ratio = sum(skipped) / sum(blocks) if blocks else None
        found |= {"pruned_steps": reused, "pruned_blocks": skipped, "actual_blocks": blocks, "pruned_ratio": ratio}
    return found


def strify(adapter_or_others: Any) -> str:
    """Return a tag such as `DBCache_F8B0_W8I1M0MC0_R0.08_T0O0_S12` for file names; empty where nothing is cached.

    Args:
        adapter_or_others: what `enable_cache` was given, what `summary` returned, or options as `load_configs` takes.
    """
    if isinstance(adapter_or_others, CacheStats):
        stats = adapter_or_others
    elif isinstance(adapter_or_others, list):
        stats = adapter_or_others[0]
    elif isinstance(adapter_or_others, Mapping):
        if CacheType.type(adapter_or_others.get("cache_type", "DBCache")) is CacheType.NONE:
            return ""
        given = {name: value for name, value in adapter_or_others.items() if not isinstance(value, nn.Module)}
        stats = CacheStats(cache_options=given if "cache_config" in given else dict(load_configs(dict(given))))
        if not isinstance(stats.cache_options["cache_config"], BasicCacheConfig):
            stats = CacheStats(cache_options=dict(load_configs(given)))
    else:
        stats = summary(adapter_or_others, logging=False)[-1]
    config, calibrator = (stats.cache_options.get(name) for name in ("cache_config", "calibrator_config"))
    if config is None:
        return ""
    parts = [config.strify()]
    if stats.pruned_ratio is not None:
        parts.append(f"P{round(stats.pruned_ratio * 100, 2)}")
    parts.append("T0O0" if calibrator is None else calibrator.strify())
    if stats.accumulated_cached_steps:
        parts.append(f"S{stats.accumulated_cached_steps}")
    parts += [one.strify() for one in (stats.parallelism_config, stats.quantize_config) if one is not None]
    return "_".join(parts)


def supported_matrix() -> str:
    """Return a Markdown table of every transformer class that an adapter knows, and print it."""
    rows = [f"| {row.family} | {row.transformer} | {', '.join(row.pipelines)} |" for row in matrix_of_adapters()]
    table = "\n".join(["| Family | Transformer | Pipelines |", "|:---|:---|:---|", *rows])
    print(table)
    return table
