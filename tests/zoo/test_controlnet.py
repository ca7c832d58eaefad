"""A ControlNet's residuals on reused steps, for every class that takes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from tests.zoo.base import Entry, tensors
from tests.zoo.entries import ENTRIES

CONTROLLED = sorted(name for name in ENTRIES if name.endswith("/controlnet"))
IN_THE_SKIPS = "HunyuanDiT2DModel/controlnet"
"""Here residuals are no sums behind a block but parts of what a block is called with, so they are reused with it."""
POLICY = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse("always"), cfg=Cfg("fused"))


def scaled(value: Any, scale: float) -> Any:
    if isinstance(value, dict):
        return {key: scaled(part, scale) for key, part in value.items()}
    return type(value)(scaled(part, scale) for part in value) if isinstance(value, (list, tuple)) else scale * value


def forward(entry: Entry, model: nn.Module, scale: float) -> list[torch.Tensor]:
    """Call with the inputs of one step and a ControlNet's residuals times `scale`."""
    given = entry.inputs(2, 8)
    samples = [key for key, value in given.items() if "controlnet" in key and value is not None]
    assert samples
    entry.prepare(model)
    with torch.no_grad():
        return tensors(model(**given | {key: scaled(given[key], scale) for key in samples}))


def last(entry: Entry, *scales: float) -> torch.Tensor:
    """Return the output of a run's last step, with these scales of the residuals."""
    model = entry.build()
    with POLICY.apply(model) as cached, cached.run(steps=len(scales)):
        outputs = [forward(entry, model, scale) for scale in scales]
        assert cached.trace.steps()[-1].outcome == ("reused" if len(scales) > 2 else "computed")
    return outputs[-1][0]


@pytest.mark.parametrize("name", CONTROLLED)
def test_its_influence_survives_on_reused_steps(name: str) -> None:
    entry = ENTRIES[name]
    computed, without = last(entry, 1, 1), last(entry, 0, 0)
    moved = (computed - without).abs().max()
    assert moved > 1e-3
    assert (last(entry, 1, 1, 1) - computed).abs().max() <= 1e-4 * (computed.abs().max() + 1e-3)


@pytest.mark.parametrize("name", [name for name in CONTROLLED if name != IN_THE_SKIPS])
def test_a_reused_step_adds_the_residuals_of_its_own(name: str) -> None:
    entry = ENTRIES[name]
    computed, without = last(entry, 1, 1), last(entry, 0, 0)
    ended = last(entry, 1, 1, 0)
    assert (ended - computed).abs().max() > 0.1 * (without - computed).abs().max()


def test_where_they_go_into_the_skips_they_are_reused_with_the_blocks() -> None:
    entry = ENTRIES[IN_THE_SKIPS]
    assert torch.equal(last(entry, 1, 1, 0), last(entry, 1, 1, 1))
