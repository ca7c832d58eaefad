"""A short soak: runs through one another, on several engines, are as they are alone, and leave nothing behind."""

from __future__ import annotations

import diffusers

from tests.soak import soak


def test_a_dozen_runs() -> None:
    engines = ("plain", "LoRA", "int8 weights", "groups of 2")
    if diffusers.__version__.startswith("0.37."):  # which groups weights only where there is an accelerator
        engines = engines[:3]
    report = soak(14, engines, seed=3)
    assert report.runs == 14
    assert report.cancelled > 0
    assert report.reused > 0
    assert report.worst == 0
    first, last = report.seen[0], report.seen[-1]
    assert last.tensors <= first.tensors
    assert last.bytes <= first.bytes
