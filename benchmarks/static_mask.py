"""Compare predictors under one static mask on the bundled pipeline: 19 of 50 steps computed, no block runs on the rest.

python benchmarks/static_mask.py
"""

from __future__ import annotations

import os
import platform

import diffusers
import torch

from cachedsl import Policy
from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Compute, Predict, Reuse, Warmup
from cachedsl.measure.compare import compare
from cachedsl.measure.digits import load_digits_pipeline

MASK = "11111100110011000100010001000100010001000100010001"
PREDICTORS = (Predict(), Predict("taylor", 1), Predict("taylor", 2))


def main() -> None:
    torch.set_num_threads(1)
    static = BitMask(MASK, "static")
    policies = [
        Policy(
            name=f"{p.method} {p.order}" if p.method == "taylor" else p.method,
            compute=Compute(0, 0),
            warmup=Warmup(0),
            reuse=Reuse(threshold="always"),
            steps=static,
            predict=p,
        )
        for p in PREDICTORS
    ]
    for row in compare(load_digits_pipeline(), policies, [i % 10 for i in range(50)], steps=50):
        print(
            f"{row.name:10} blocks {row.computed_fraction:6.1%}  time {row.time_ratio:5.2f}x  PSNR {row.psnr:6.2f} dB"
        )
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"diffusers {diffusers.__version__}, one thread"
    )


if __name__ == "__main__":
    main()
