"""Models whose token count depends on data, such as on how much of a prompt's mask is set, compiled as a whole."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from cachedsl.language.parts import Warmup
from cachedsl.language.policy import Policy
from tests.runtime.test_own_blocks import BLOCKS, DIM, Block, Model, own, policy

STEPS = 4


pytestmark = pytest.mark.usefixtures("fresh_dynamo")


def count(x: torch.Tensor) -> torch.Tensor:
    """Return how many of the tokens are meant."""
    return (x[0, :, 0] > -100.0).sum()


class Counting(Block):
    """Returns as many tokens as it took, which is data: a graph cannot tell that they are."""

    def forward(self, x: torch.Tensor, c: float) -> torch.Tensor:
        return super().forward(x, c)[:, : count(x)]


def cut_before(model: Any, x: torch.Tensor) -> torch.Tensor:
    x = x[:, : count(x)]
    for block in model.blocks:
        x = block(x, 0.5)
    return x.mean(1)


def cut_between(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Cut after the second block: what the loop does to a stream cannot be told from its shapes in a graph."""
    meant = count(x)
    for index, block in enumerate(model.blocks):
        x = block(x if index != 2 else x[:, :meant], 0.5)
    return x.mean(1)


def given(step: int, meant: int = 4) -> torch.Tensor:
    x = torch.randn(1, 5, DIM, generator=torch.Generator().manual_seed(step)) * 0.01 + 1
    x[:, meant:] = -200.0
    return x


def drive(model: Model, call: Any, one: Policy, meant: int = 4) -> tuple[list[torch.Tensor], list[int]]:
    with one.apply(model, adapter=own()) as cached, torch.no_grad(), cached.run(steps=STEPS):
        outputs = [call(given(step, meant)) for step in range(STEPS)]
    return outputs, [step.blocks_run for step in cached.trace.steps()]


POLICIES = {
    "static": policy(warmup=Warmup(2)),
    "measuring": policy(threshold=0.5, warmup=Warmup(2)),
}


@pytest.mark.parametrize("name", ["static", "measuring"])
def test_they_stay_in_one_graph_a_kind_of_step(name: str) -> None:
    model, one = Model(cut_before, Counting), POLICIES[name]
    expected, ran = drive(model, model, one)
    assert ran == [BLOCKS, BLOCKS, 1, 1]
    call = torch.compile(model, backend="eager", fullgraph=True)
    for meant in (4, 3):  # another prompt
        expected, ran = drive(model, model, one, meant)
        outputs, seen = drive(model, call, one, meant)
        assert seen == ran
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(outputs, expected, strict=True))
    assert not torch._dynamo.utils.counters["graph_break"]


def test_what_a_graph_cannot_tell_runs_uncompiled_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    model, one = Model(cut_between), POLICIES["static"]
    bare = model(given(0))
    assert torch.allclose(torch.compile(model, backend="eager", fullgraph=True)(given(0)), bare), "bare, it compiles"
    torch._dynamo.reset()
    expected, ran = drive(model, model, one)
    with caplog.at_level(logging.WARNING, "cachedsl"):
        outputs, seen = drive(model, torch.compile(model, backend="eager", fullgraph=True), one)
    assert seen == ran
    assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
    told = [record.message for record in caplog.records if record.name == "cachedsl"]
    assert [message.count("compile_repeated_blocks()") for message in told] == [1]
