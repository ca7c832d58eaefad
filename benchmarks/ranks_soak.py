"""Many random measuring runs over real processes: no disagreement, no hang, and what one process does.

    OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 -m benchmarks.ranks_soak --runs 200
    OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 4 -m benchmarks.ranks_soak --runs 200

Run it from the root of the repository. Each run has a policy of its own (tap, metric, threshold, predictor, pruning,
deciding back blocks, joined lists), a model of its own and a number of tokens of its own, which seldom divides evenly.
A run in which the processes differ counts as a disagreement; a hang ends in the group's timeout. A run in which all of
them differ from one process alone is counted too: a measured value that lies on the threshold to the last digits.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist

from tests.parallel.common import random_run
from tests.parallel.world import drive, everywhere, join_world, outcomes

RESULTS = Path(__file__).parent / "results"


def one_run(seed: int, size: int) -> dict[str, Any]:
    """Return whether the processes agreed, and how far the run is from that of one process."""
    make, one, split, given = random_run(seed, size)
    expected, alone = drive(make(), one, given)
    outputs, steps = drive(make(), split, given)
    told = everywhere(steps)
    same = outcomes(steps) == outcomes(alone)
    scale = max(float(tensor.abs().max()) for tensor in expected)
    off = max(float((a - b).abs().max()) for a, b in zip(outputs, expected, strict=True)) / scale
    units = [outcome for *_, found in outcomes(steps) for outcome in found]
    measured = sum(value is not None for *_, found in steps for *_, value in found)
    return {
        "agreed": all(one == told[0] for one in told),
        "as_one": same,
        "off": off if same else None,
        "reused": units.count("reused"),
        "units": len(units),
        "measured": measured,
        "tokens": given[0]["hidden_states"].shape[1],
        "verify": split.runtime.parallel.verify,
    }


def main() -> None:
    """Run them all; the first process writes what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    join_world()
    size, process, memory, began = dist.get_world_size(), psutil.Process(), [], time.perf_counter()
    found = []
    for seed in range(runs):
        found.append(one_run(1000 + seed, size))
        memory.append(process.memory_info().rss)
        if dist.get_rank() == 0 and (seed + 1) % 10 == 0:
            print(f"{seed + 1} runs, {time.perf_counter() - began:.0f} s", flush=True)
    if dist.get_rank() == 0:
        alike = [one["off"] for one in found if one["off"] is not None]
        result = {
            "processes": size,
            "runs": runs,
            "disagreements": sum(not one["agreed"] for one in found),
            "unlike_one_process": sum(not one["as_one"] for one in found),
            "largest_relative_difference": max(alike),
            "tokens_not_divided": sum(one["tokens"] % size > 0 for one in found),
            "verified": sum(one["verify"] for one in found),
            "units": sum(one["units"] for one in found),
            "measured": sum(one["measured"] for one in found),
            "reused": sum(one["reused"] for one in found),
            "memory_growth_second_half": memory[-1] / memory[len(memory) // 2] - 1,
            "seconds": round(time.perf_counter() - began),
            "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, gloo",
            "versions": {name: version(name) for name in ("torch", "diffusers")},
        }
        text = json.dumps(result, indent=2)
        print(text)
        RESULTS.joinpath(f"ranks-soak-{size}.json").write_text(text + "\n", "utf-8")
    dist.barrier()
    dist.destroy_process_group()
    torch.set_grad_enabled(True)


if __name__ == "__main__":
    main()
