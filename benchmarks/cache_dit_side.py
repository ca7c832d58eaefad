"""cache-dit's side of the frontier. A script of its own: cache-dit patches classes, so it shares no process with ours.

    python benchmarks/cache_dit_side.py search --out SEARCH.json
    python benchmarks/cache_dit_side.py report --search SEARCH.json --reference IMAGES.npy --out ROWS.json

Its grid has what cache-dit 1.5.3 offers for a DiT: front blocks (it refuses fewer than one), back blocks, thresholds,
warmup and its interval, limits, its own step masks and the masks of our side, static and dynamic, every calibrator,
and Dynamic Block Prune.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("CACHE_DIT_LOG_LEVEL", "error")

import cache_dit
import click
import numpy as np
import torch
from cache_dit.caching.cache_blocks.pattern_3_4_5 import CachedBlocks_Pattern_3_4_5, PrunedBlocks_Pattern_3_4_5
from frontier_masks import POWERS, Tree, bits, intervals, is_plain, most_steps, reachable, static_masks
from frontier_measure import STEPS, TARGETS, Setup, machine, measure, measure_entries, progressing
from frontier_search import Candidate, Search, Side, chosen_entries, validate

from cachedsl.measure.digits import load_digits_pipeline

PRESETS = ("slow", "medium", "fast", "ultra")
THRESHOLD = ("cache", "residual_diff_threshold")
ACCUMULATED = ("cache", "max_accumulated_residual_diff_threshold")
PLAIN: tuple[Tree, ...] = (
    {"kind": "taylorseer", "taylorseer_order": 1, "calibrator_cache_type": "residual"},
    {"kind": "taylorseer", "taylorseer_order": 2, "calibrator_cache_type": "residual"},
    {"kind": "foca", "calibrator_cache_type": "residual"},
    {"kind": "dmd", "dmd_history": 6, "calibrator_cache_type": "residual"},
)
CALIBRATORS = {
    "taylorseer": cache_dit.TaylorSeerCalibratorConfig,
    "dmd": cache_dit.DMDCalibratorConfig,
    "foca": cache_dit.FoCaCalibratorConfig,
}


def grid(target: float) -> list[Candidate]:
    """Return every candidate setting for a target fraction."""
    return [*_static(target), *_measured(target), *_masked(target), *_pruned(target)]


def _calibrators() -> list[Tree]:
    found: list[Tree] = [{"kind": "taylorseer", "taylorseer_order": order} for order in (1, 2, 3)]
    found += [{"kind": "dmd", "dmd_history": history} for history in (4, 6, 8)]
    found += [{"kind": "foca"}]
    kept = ("residual", "hidden_states")
    return [{"kind": "none"}, *({**c, "calibrator_cache_type": k} for c in found for k in kept)]


def _candidate(kind: str, cache: Tree, calibrator: Tree, free: tuple[str, ...] = (), **more: Any) -> Candidate:
    family = "prune" if kind == "prune" else calibrator["kind"]
    settings = {"config": "DBPrune" if kind == "prune" else "DBCache", "cache": cache, "calibrator": calibrator}
    return Candidate(family, kind, settings, free, **more)


def _static(target: float) -> Iterator[Candidate]:
    """Yield static masks: those of our side, and cache-dit's own presets where the target allows them."""
    for front, back in product((1, 2), (0, 1)):
        masks: dict[str, bool] = {}
        for tree in static_masks(target, front + back):
            masks[bits(tree)] = masks.get(bits(tree), False) or is_plain(tree, target, front + back)
        for name in PRESETS:
            preset = "".join(map(str, cache_dit.steps_mask(total_steps=STEPS, mask_policy=name)))
            if preset.count("1") <= most_steps(target, front + back):
                masks.setdefault(preset, False)
        for (mask, plain), calibrator in product(masks.items(), _calibrators()):
            cache = {
                "Fn_compute_blocks": front,
                "Bn_compute_blocks": back,
                "steps_computation_mask": mask,
                "steps_computation_policy": "static",
            }
            plain = plain and (front, back) == (1, 0) and calibrator in PLAIN
            yield _candidate("static", cache, calibrator, plain=plain)


def _measured(target: float) -> Iterator[Candidate]:
    """Yield a bisected threshold, or a bisected budget of measured values, under limits."""
    fronts, backs, warmups, intervals = (1, 2, 4, 8), (0, 1, 2), (2, 3, 4, 5, 8), (1, 2)
    for front, back, warmup, interval, most in product(fronts, backs, warmups, intervals, (2, 3, 4, 5, -1)):
        continuous = None if most < 0 else most
        if not reachable(target, front + back, -(-warmup // interval), continuous):
            continue
        for limited, calibrator in product((False, True), _calibrators()):
            cache = {
                "Fn_compute_blocks": front,
                "Bn_compute_blocks": back,
                "max_warmup_steps": warmup,
                "warmup_interval": interval,
                "max_continuous_cached_steps": most,
                "max_cached_steps": STEPS - most_steps(target, front + back) if limited else -1,
            }
            yield _candidate("dynamic", cache, calibrator, THRESHOLD)
            if not limited:
                budget = {**cache, "residual_diff_threshold": 0.99}
                yield _candidate("dynamic", budget, calibrator, ACCUMULATED, bounds=(1e-2, 50.0))


def _masked(target: float) -> Iterator[Candidate]:
    """Yield masks that compute fewer steps than allowed and leave the others to a bisected threshold."""
    for fewer, power, calibrator in product((3, 6), POWERS, _calibrators()):
        budget = most_steps(target, 1) - fewer
        if budget >= 4:
            cache = {
                "Fn_compute_blocks": 1,
                "Bn_compute_blocks": 0,
                "steps_computation_mask": bits({"budget": budget, "power": power}),
                "steps_computation_policy": "dynamic",
            }
            yield _candidate("dynamic", cache, calibrator, THRESHOLD)


def _pruned(target: float) -> Iterator[Candidate]:
    """Yield Dynamic Block Prune."""
    calibrators: tuple[Tree, ...] = (
        {"kind": "none"},
        {"kind": "taylorseer", "taylorseer_order": 1, "calibrator_cache_type": "residual"},
    )
    for front, warmup, most, dynamic, calibrator in product(
        (1, 2), (2, 3, 5, 8), (3, 5, -1), (False, True), calibrators
    ):
        if reachable(target, front, warmup, None if most < 0 else most):
            cache = {
                "Fn_compute_blocks": front,
                "Bn_compute_blocks": 0,
                "max_warmup_steps": warmup,
                "max_continuous_cached_steps": most,
                "enable_dynamic_prune_threshold": dynamic,
            }
            yield _candidate("prune", cache, calibrator, THRESHOLD)


@contextmanager
def attach(pipe: Any, settings: Tree) -> Iterator[None]:
    """Enable cache-dit on the pipeline, and take it off again."""
    cache = {"enable_separate_cfg": False, "num_inference_steps": STEPS, **settings["cache"]}
    if "steps_computation_mask" in cache:
        cache["steps_computation_mask"] = [int(bit) for bit in cache["steps_computation_mask"]]
    calibrator = dict(settings["calibrator"])
    kind = calibrator.pop("kind")
    try:
        cache_dit.enable_cache(
            pipe,
            cache_config=getattr(cache_dit, f"{settings['config']}Config")(**cache),
            calibrator_config=CALIBRATORS[kind](**calibrator) if kind in CALIBRATORS else None,
        )
        yield
    finally:
        cache_dit.disable_cache(pipe)


def _mend_prune() -> None:
    """Let cache-dit 1.5.3 prune blocks that return hidden states alone.

    There `compute_or_prune` hands an argument to `_process_block_outputs` that it does not take, so that Dynamic Block
    Prune ends in a TypeError on DiT.
    """

    def process(self: Any, hidden_states: Any, *_: Any) -> Any:
        return CachedBlocks_Pattern_3_4_5._process_block_outputs(self, hidden_states)

    PrunedBlocks_Pattern_3_4_5._process_block_outputs = process


def check_attached(pipe: Any, setup: Setup) -> None:
    """Make sure that cache-dit skips blocks where it may, and changes nothing where its threshold is 0.

    Raises:
        RuntimeError: it does not, or it does.
    """
    plain = setup.draw(pipe)
    for threshold in (0.0, 0.5):
        cache = {"Fn_compute_blocks": 1, "residual_diff_threshold": threshold, "max_warmup_steps": 2}
        settings = {"config": "DBCache", "cache": cache, "calibrator": {"kind": "none"}}
        measured = measure(pipe, partial(attach, settings=settings), setup, plain)
        exact = measured.fraction == 1 and np.array_equal(plain, measured.images)
        if exact != (threshold == 0):
            raise RuntimeError(f"cache-dit with threshold {threshold} runs {measured.fraction:.1%} of the blocks")
    if not np.array_equal(plain, setup.draw(pipe)):
        raise RuntimeError("cache-dit, taken off, does not give the uncached images")


def label(settings: Tree) -> str:
    """Name settings in a few words, in cache-dit's own notation."""
    cache, calibrator = settings["cache"], settings["calibrator"]
    words = [f"F{cache['Fn_compute_blocks']}B{cache['Bn_compute_blocks']}"]
    if (mask := cache.get("steps_computation_mask")) is not None:
        words.append(f"{cache['steps_computation_policy']} mask of {mask.count('1')} steps")
    else:
        words.append(f"W{cache['max_warmup_steps']}I{cache.get('warmup_interval', 1)}")
        words.append(f"MC{cache['max_continuous_cached_steps']}")
    if "max_accumulated_residual_diff_threshold" in cache:
        words.append(f"accumulated {cache['max_accumulated_residual_diff_threshold']:.3g}")
    elif "residual_diff_threshold" in cache:
        words.append(f"R{cache['residual_diff_threshold']:.3g}")
    if settings["config"] == "DBPrune":
        words.append("prune" + (" dynamic" if cache["enable_dynamic_prune_threshold"] else ""))
    words += [
        str(value).replace("hidden_states", "on hidden states") for value in calibrator.values() if value != "residual"
    ]
    return " ".join(words)


def plain_intervals(target: float) -> list[Candidate]:
    """Return plain intervals under both orders of TaylorSeer, with the one front block that it asks for."""
    found = []
    for at, order in product(intervals(target, 1), (1, 2)):
        cache = {
            "Fn_compute_blocks": 1,
            "Bn_compute_blocks": 0,
            "steps_computation_mask": "".join("1" if step in at else "0" for step in range(STEPS)),
            "steps_computation_policy": "static",
        }
        calibrator = {"kind": "taylorseer", "taylorseer_order": order, "calibrator_cache_type": "residual"}
        found.append(_candidate("static", cache, calibrator))
    return found


def mask(settings: Tree) -> str | None:
    """Return the static mask of settings as a string of 0 and 1."""
    found: str | None = settings["cache"].get("steps_computation_mask")
    return found


def always(settings: Tree) -> int:
    """Return how many blocks run on reused steps too."""
    return int(settings["cache"]["Fn_compute_blocks"]) + int(settings["cache"]["Bn_compute_blocks"])


def masked(settings: Tree, changed: str) -> Tree:
    """Return settings with another static mask."""
    return {**settings, "cache": {**settings["cache"], "steps_computation_mask": changed}}


CACHE_DIT = Side("cache-dit", grid, dict, attach, label, mask, always, masked, plain_intervals)


@click.group()
def main() -> None:
    """Search and report cache-dit's settings."""
    torch.set_num_threads(1)
    _mend_prune()


@main.command()
@click.option("--budget", default=60)
@click.option("--refine", default=0.5)
@click.option("--samples", default=20)
@click.option("--seed", default=11)
@click.option("--target", "targets", multiple=True, type=float, default=TARGETS)
@click.option("--out", required=True, type=click.Path(path_type=Path))
def search(budget: int, refine: float, samples: int, seed: int, targets: tuple[float, ...], out: Path) -> None:
    """Search settings for every target; `frontier.py search` says what the options mean."""
    check_attached(load_digits_pipeline(), Setup(2, seed))
    Search(CACHE_DIT, Setup(samples, seed), budget, refine, targets, out).run()


@main.command("validate")
@click.option("--search", "found", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--samples", default=60)
@click.option("--seed", default=13)
@click.option("--budget", "budgets", multiple=True, type=(float, int))
def validate_(found: Path, samples: int, seed: int, budgets: tuple[tuple[float, int], ...]) -> None:
    """Measure the best of a search again."""
    validate(CACHE_DIT, found, Setup(samples, seed), dict(budgets))


@main.command()
@click.option("--search", "found", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--samples", default=100)
@click.option("--seed", default=2026)
@click.option("--repeats", default=3)
@click.option("--reference", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
def report(found: Path, samples: int, seed: int, repeats: int, reference: Path, out: Path) -> None:
    """Measure the chosen settings; `reference` are the other process's uncached images, and must equal this one's."""
    entries = chosen_entries(CACHE_DIT, json.loads(found.read_text(encoding="utf-8"))["candidates"])
    pipe, setup = load_digits_pipeline(), Setup(samples, seed)
    check_attached(pipe, Setup(2, seed))
    with progressing("cache-dit", repeats * (len(entries) + 1)) as on_run:
        rows, images = measure_entries(pipe, entries, setup, repeats=repeats, on_run=on_run)
    if not np.array_equal(images, np.load(reference)):
        raise RuntimeError("the uncached images of the two processes differ")
    out.write_text(json.dumps({"rows": rows, **machine()}), encoding="utf-8")


if __name__ == "__main__":
    main()
