"""What a policy costs beside the blocks that it leaves out: steps timed in turn, medians, a process for each tool.

    python benchmarks/cost.py [--rounds 40] [--compiled]

A Flux of 19 and 38 blocks, width 64, 80 tokens. Every figure is a share of the plain step of its own process: threshold
0, a reused step under F1B0 and under `span: joined`, a model cut to the blocks that then run, and cache-dit's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from diffusers import FluxTransformer2DModel

from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy

STEPS = 500
HALF = 2


def model(double: int = 19, single: int = 38) -> Any:
    torch.manual_seed(0)
    made = FluxTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=32,
        in_channels=16,
        num_layers=double,
        num_single_layers=single,
        joint_attention_dim=16,
        pooled_projection_dim=8,
        axes_dims_rope=(8, 12, 12),
    )
    return made.eval().requires_grad_(False)


def inputs() -> dict[str, Any]:
    torch.manual_seed(1)
    return {
        "hidden_states": torch.randn(1, 64, 16),
        "encoder_hidden_states": torch.randn(1, 16, 16),
        "pooled_projections": torch.randn(1, 8),
        "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(64, 3),
        "txt_ids": torch.zeros(16, 3),
    }


Calls = dict[str, Callable[[], Any]]

WARM = 3
"""Rounds that are not counted."""


def one_round(calls: Calls) -> dict[str, float]:
    """Return the CPU seconds of each call; of one thread, so that neighbours do not count."""
    times = {}
    for name, call in calls.items():
        start = time.thread_time()
        call()
        times[name] = time.thread_time() - start
    return times


def policy(threshold: float | str, span: str = "stack", **rest: Any) -> Policy:
    reuse = Reuse(threshold, **rest)  # type: ignore[arg-type]
    return Policy(
        compute=Compute(1, 0),
        warmup=Warmup(1),
        reuse=reuse,
        span=span,
        cfg=Cfg("fused"),  # type: ignore[arg-type]
    )


class Scheduler:
    """One that shows the step, so that nothing else need be looked at to tell it."""

    step_index = 0
    begin_index = None


def driven(one: Policy, call: Any = None, target: Any = None) -> Callable[[], Any]:
    """Return a call of a model in a run under `one`, whose first step has been taken."""
    target = target if target is not None else model()
    call, given, scheduler = target if call is None else call, inputs(), Scheduler()
    cached = one.apply(target)
    run = cached.run(steps=STEPS, scheduler=scheduler)
    run.__enter__()

    def step() -> None:
        call(**given, return_dict=False)
        scheduler.step_index += 1

    step()
    step.run = run  # type: ignore[attr-defined]  # else it ends
    return step


def ours() -> Calls:
    plain, cut, cut_one = model(), model(1, 1), model(1, 0)
    given = inputs()
    return {
        "plain": lambda: plain(**given, return_dict=False),
        "threshold 0": driven(policy(0.0)),
        "reused F1B0": driven(policy("always")),
        "reused F1B0 joined": driven(policy("always", "joined")),
        "cut to 1+1 blocks": lambda: cut(**given, return_dict=False),
        "cut to 1+0 blocks": lambda: cut_one(**given, return_dict=False),
    }


def compiled() -> Calls:
    """Time the plain model and one half of whose steps are reused, each compiled as a whole and not."""
    given, bare = inputs(), model()
    fast = torch.compile(model())
    half, target = policy("always", max_continuous=1), model()
    calls = {
        "plain": lambda: bare(**given, return_dict=False),
        "plain, compiled": lambda: fast(**given, return_dict=False),
        "half reused": driven(half),
        "half reused, compiled": driven(half, torch.compile(target), target),
    }
    return {name: twice(call) for name, call in calls.items()}


def twice(call: Callable[[], Any]) -> Callable[[], Any]:
    def both() -> None:
        for _ in range(HALF):
            call()

    return both


def theirs() -> Calls:
    """Time cache-dit: at a threshold that nothing comes below, and at one that everything does."""
    import cache_dit
    from cache_dit import BlockAdapter, DBCacheConfig, ForwardPattern

    given, plain = inputs(), model()

    def cached(threshold: float) -> Callable[[], Any]:
        target = model()
        adapter = BlockAdapter(
            transformer=target,
            blocks=[target.transformer_blocks, target.single_transformer_blocks],
            forward_pattern=[ForwardPattern.Pattern_1, ForwardPattern.Pattern_1],
        )
        config = DBCacheConfig(
            Fn_compute_blocks=1,
            Bn_compute_blocks=0,
            max_warmup_steps=1,
            max_cached_steps=-1,
            residual_diff_threshold=threshold,
            num_inference_steps=STEPS,
        )
        cache_dit.enable_cache(adapter, cache_config=config)
        return lambda: target(**given, return_dict=False)

    return {
        "plain": lambda: plain(**given, return_dict=False),
        "cache-dit, nothing reused": cached(0.0),
        "cache-dit, reused": cached(2.0),
    }


PARTS = {"ours": ours, "compiled": compiled, "cache-dit": theirs}


def serve(part: str) -> None:
    """Time one round of a part for each line that comes in."""
    torch.set_num_threads(1)
    with torch.no_grad():
        calls = PARTS[part]()
        for _ in sys.stdin:
            print("times " + json.dumps(one_round(calls)), flush=True)


def ask(worker: subprocess.Popen[str]) -> dict[str, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    for line in worker.stdout:
        if line.startswith("times "):
            found: dict[str, float] = json.loads(line.removeprefix("times "))
            return found
    raise SystemExit(f"a process ended with {worker.wait()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--compiled", action="store_true", help="time whole-model compile, too; takes minutes")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        serve(asked.part)
        return
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, one torch thread, Python {platform.python_version()}, "
        f"torch {torch.__version__}, diffusers {version('diffusers')}, cache-dit {version('cache-dit')}; "
        f"CPU time, medians of {asked.rounds} rounds; load {os.getloadavg()[0]:.1f}"
    )
    parts = [part for part in PARTS if part != "compiled" or asked.compiled]
    workers = {
        part: subprocess.Popen(
            [sys.executable, __file__, "--part", part], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for part in parts
    }
    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(asked.rounds + WARM):
        for part, worker in workers.items():
            for name, seconds in ask(worker).items():
                if turn >= WARM:
                    times.setdefault((part, name), []).append(seconds / (HALF if part == "compiled" else 1))
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait()
    for (part, name), taken in times.items():
        share = statistics.median(a / b for a, b in zip(taken, times[part, "plain"], strict=True))
        print(f"{part:>10} | {name:<28} | {1000 * statistics.median(taken):8.3f} ms | {share:6.3f}")


if __name__ == "__main__":
    main()
