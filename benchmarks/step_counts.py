"""Compare the policies that repay with TaylorSeer on the same schedule, at step counts that no search has seen.

python benchmarks/step_counts.py > docs/step-counts.md
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

import diffusers
import numpy as np
import torch
from attrs import evolve

from cachedsl import Policy, load_policy
from cachedsl.language.parts import Compute, Predict
from cachedsl.measure.compare import compare
from cachedsl.measure.digits import load_digits_pipeline

STEPS = (30, 80)
SAMPLES, SEED = 50, 2027


def policies() -> Iterator[Policy]:
    """Yield each policy of our own, then its schedule under the published predictors, with their one front block."""
    for name in ("repay-slow", "repay-medium", "repay-fast"):
        own = load_policy(name)
        yield own
        for order in (1, 2):
            predict = Predict("taylor", order, form="published")
            yield evolve(own, name=f"{name}, TaylorSeer {order}", compute=Compute(1, 0), predict=predict)


def main() -> None:
    torch.set_num_threads(1)
    labels = np.random.default_rng(SEED).integers(0, 10, SAMPLES).tolist()
    pipe = load_digits_pipeline()
    print("# Other step counts\n")
    print(
        "`benchmarks/step_counts.py` writes this page: the policies of our own and, on their schedules, the published "
        "TaylorSeer with the one front block that it asks for, at step counts that no search has seen; "
        f"{SAMPLES} digits with labels drawn at random, seed {SEED}. The predictor under the name *TaylorSeer* agrees "
        "with cache-dit's to 1e-5 (tests/differential).\n"
    )
    print("| steps | policy | blocks computed | time ratio | PSNR to uncached | accuracy |")
    print("|---:|---|---:|---:|---:|---:|")
    for steps in STEPS:
        for row in compare(pipe, list(policies()), labels, steps=steps, seed=SEED)[1:]:
            cells = f"{row.computed_fraction:.1%} | {row.time_ratio:.2f} | {row.psnr:.1f} dB | {row.accuracy:.0%}"
            print(f"| {steps} | {row.name} | {cells} |")
    print(
        f"\n{os.cpu_count()} cores, {platform.machine()}, one torch thread, Python {platform.python_version()}, torch "
        f"{torch.__version__}, diffusers {diffusers.__version__}."
    )


if __name__ == "__main__":
    main()
