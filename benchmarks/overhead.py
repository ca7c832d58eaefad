"""What the executor itself costs: the bundled pipeline uncached against `threshold: 0`, which computes everything.

    python benchmarks/overhead.py

Small batches show the cost of asking; real models spend far longer in each block.
"""

from __future__ import annotations

import os
import platform
import statistics
import time

import diffusers
import torch

from cachedsl import Policy
from cachedsl.language.parts import Compute, Reuse
from cachedsl.measure.digits import load_digits_pipeline, sample

ROUNDS, STEPS = 7, 10


def main() -> None:
    torch.set_num_threads(1)
    pipe = load_digits_pipeline()
    exact = Policy(compute=Compute(8, 0), reuse=Reuse(threshold=0.0))
    for batch in (1, 50):
        labels = [i % 10 for i in range(batch)]
        sample(pipe, labels, steps=2)
        ratios = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            sample(pipe, labels, steps=STEPS)
            plain = time.perf_counter() - started
            with exact.apply(pipe):
                started = time.perf_counter()
                sample(pipe, labels, steps=STEPS)
                ratios.append((time.perf_counter() - started) / plain)
        print(f"batch {batch:3}: attached / plain = {statistics.median(ratios):.3f} (median of {ROUNDS})")
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"diffusers {diffusers.__version__}, one thread"
    )


if __name__ == "__main__":
    main()
