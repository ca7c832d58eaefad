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
        "Every search of settings was made at 50 steps. This page tries the `repay` policies at other step counts, "
        "beside "
        "TaylorSeer on the same schedules.\n"
    )
    print(
        f"- *What is drawn*: {SAMPLES} digits of the bundled pipeline, with labels drawn at random; labels and noise "
        "have "
        f"seed {SEED}.\n"
        "- *Rows*: each policy as it is, and then its schedule with the published TaylorSeer of order 1 and 2. "
        "TaylorSeer "
        "asks for one front block, so it computes a little more.\n"
        "- *TaylorSeer* here is cachedsl's own predictor. It agrees with cache-dit's to 1e-5 (tests/differential).\n"
        "- The columns mean what they do in [the demo](demo.md). A figure belongs to its noise: compare within this "
        "table "
        "only ([how sure is a number?](choosing.md#how-sure-is-a-number)).\n"
        "- `benchmarks/step_counts.py` writes this page.\n"
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
