"""Soak: many runs with random policies, sizes, cancellations and engines on models that live on.

    python benchmarks/soak.py [--runs 300] [--seed 0] [--save benchmarks/results/soak.json]

Every output is compared with that of the same job alone on a fresh model. Memory is looked at after each group of runs:
what the process has resident, and the tensors that are alive. The first third of the runs lets allocators and caches
fill up; from then on it must stay within 2 %.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import diffusers
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.soak import ENGINES, soak  # noqa: E402

FLAT = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("cachedsl").setLevel(logging.ERROR)
    started = time.monotonic()
    report = soak(asked.runs, seed=asked.seed)
    later = report.seen[len(report.seen) // 3 :]
    half = len(later) // 2
    grown = {
        name: statistics.median(getattr(seen, name) for seen in later[half:])
        / statistics.median(getattr(seen, name) for seen in later[:half])
        - 1
        for name in ("resident", "tensors", "bytes")
    }
    result = {
        "runs": report.runs,
        "cancelled": report.cancelled,
        "engines": list(ENGINES),
        "reused_steps": report.reused,
        "largest_difference": report.worst,
        "resident_mib": [round(seen.resident / 2**20) for seen in (report.seen[0], later[0], later[-1])],
        "growth_after_the_first_third": {name: round(share, 5) for name, share in grown.items()},
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, diffusers {diffusers.__version__}, one thread",
        "seconds": round(time.monotonic() - started),
        "seed": asked.seed,
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if asked.save is not None:
        asked.save.write_text(text, encoding="utf-8")
    if max(grown.values()) > FLAT:
        raise SystemExit(f"memory grew by more than {FLAT:.0%}")


if __name__ == "__main__":
    main()
