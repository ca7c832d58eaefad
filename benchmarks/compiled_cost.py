"""What whole-model compile costs and gives under policies: each compiled and not, steps in turn, medians.

    python benchmarks/compiled_cost.py [--blocks 19 38] [--rounds 30] [--write]

The Flux of `cost.py`, by inductor. Figures are CPU time of one thread, and shares of the plain uncompiled step.
Compiling takes minutes: about one for each dozen blocks on one core.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from cost import driven, inputs, model, policy

RESULT = Path(__file__).parent / "results" / "compiled-cost.txt"
STEPS = 2
"""Which are timed as one: of half reused ones, one of each kind."""

POLICIES = {
    "threshold 0": policy(0.0),
    "half reused": policy("always", max_continuous=1),
    "half reused, measured": policy(1e9, max_continuous=1),
    "reused F1B0": policy("always"),
    "reused F1B0 joined": policy("always", "joined"),
}


def calls_of(blocks: tuple[int, int]) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return a step of each kind, uncompiled and compiled."""
    given, bare, fast = inputs(), model(*blocks), torch.compile(model(*blocks))
    calls: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "plain": (lambda: bare(**given, return_dict=False), lambda: fast(**given, return_dict=False))
    }
    for name, one in POLICIES.items():
        eager, target = model(*blocks), model(*blocks)
        calls[name] = driven(one, target=eager), driven(one, torch.compile(target), target)
    return calls


def timed(call: Callable[[], Any]) -> float:
    start = time.thread_time()
    for _ in range(STEPS):
        call()
    return (time.thread_time() - start) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, nargs=2, default=(19, 38), metavar=("DOUBLE", "SINGLE"))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--write", action="store_true", help=f"write benchmarks/results/{RESULT.name}")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 64  # one forward, and many models of it in this process
    with torch.no_grad():
        calls = calls_of(tuple(asked.blocks))
        for pair in calls.values():
            for call in pair * 3:
                timed(call)
        times: dict[tuple[str, int], list[float]] = {(name, which): [] for name in calls for which in (0, 1)}
        for _ in range(asked.rounds):
            for name, which in times:
                times[name, which].append(timed(calls[name][which]))
    median = {key: statistics.median(taken) for key, taken in times.items()}
    whole = median["plain", 0]
    lines = [
        f"{os.cpu_count()} cores, {platform.machine()}, one torch thread, Python {platform.python_version()}, torch "
        f"{torch.__version__}, diffusers {version('diffusers')}; {asked.blocks[0]}+{asked.blocks[1]} blocks, width 64, "
        f"80 tokens; CPU time, medians of {asked.rounds} rounds; load {os.getloadavg()[0]:.1f}",
        f"{'':<24} | uncompiled       | compiled         | compiled / uncompiled",
    ]
    for name in calls:
        eager, fast = median[name, 0], median[name, 1]
        lines.append(
            f"{name:<24} | {1000 * eager:7.2f} ms {eager / whole:5.3f} | {1000 * fast:7.2f} ms {fast / whole:5.3f} | "
            f"{fast / eager:5.3f}"
        )
    print("\n".join(lines))
    if asked.write:
        RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
