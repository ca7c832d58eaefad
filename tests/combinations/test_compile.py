"""torch.compile of the whole model or of its blocks, together with what else is done to a model.

What dynamo takes its time for are blocks, so the models have three, in one chain of two lists.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve

from cachedsl import Policy
from tests.combinations.base import JOINED, PRUNING, STEPS, call, lora, model, near, reference, run, same
from tests.combinations.registry import combination
from tests.combinations.test_weights import grouped, quantising

FEW = (2, 1)


pytestmark = pytest.mark.usefixtures("fresh_dynamo")


def whole(one: Any, fullgraph: bool = True) -> Any:
    one.compile(backend="eager", fullgraph=fullgraph)
    return one


@combination(
    "torch.compile (whole model)",
    "LoRA",
    "features in bfloat16",
    means="each step is one graph, and the output is that of the uncompiled model",
)
def test_compiled_and_lora() -> None:
    policy = evolve(JOINED, features=Policy(features={"dtype": "bfloat16"}).features)
    one, plain = model(FEW), model(FEW)
    lora(one)
    lora(plain)
    assert same(run(whole(one), policy), run(plain, policy), 1e-4)


@combination("torch.compile (blocks)", "LoRA scaled in the middle of a run",
             means="the next step is computed with the new scale", said="were changed 1 time in a run")  # fmt: skip
def test_compiled_blocks_and_lora() -> None:
    one, other = model(FEW), model(FEW)
    for target in (one, other):
        lora(target)
    one.compile_repeated_blocks(backend="eager")
    outputs, letters = run(one, JOINED, lambda step: one.set_adapters(["style"], [0.25]) if step == 3 else None)
    other.set_adapters(["style"], [0.25])
    assert letters[3] == "c"
    assert near([outputs[3]], [call(other, 3)], 1e-4)


@combination(
    "torch.compile (whole model)",
    "quantised weights",
    "measuring",
    "autocast",
    means="the decisions are those of the uncompiled model",
)
def test_compiled_and_quantised() -> None:
    policy = quantising(evolve(JOINED, reuse=Policy(reuse={"threshold": 0.5, "max_continuous": 1}).reuse))
    with torch.autocast("cpu", torch.bfloat16):
        expected = run(model(FEW), policy)
        assert same(run(whole(model(FEW)), policy), expected, 0.1)


@combination("torch.compile (whole model)", "interleaved runs", means="each run gives the same output as alone")
def test_compiled_and_interleaved() -> None:
    def alone(seed: int) -> list[torch.Tensor]:
        one = model(FEW)
        with JOINED.apply(one, num_inference_steps=STEPS):
            return [call(one, step, seed) for step in range(STEPS)]

    one = whole(model(FEW))
    outputs: dict[int, list[torch.Tensor]] = {1: [], 2: [], 3: []}
    with JOINED.apply(one) as cached:
        for step in range(STEPS):
            for seed, found in outputs.items():
                with cached.run(STEPS, id=seed):
                    found.append(call(one, step, seed))
    assert all(near(found, alone(seed), 1e-4) for seed, found in outputs.items())


@combination("torch.compile (whole model)", "pruning", means="it runs uncompiled, with the output that it has without torch.compile",
             said="what its policy does with its blocks cannot be in one graph, so it runs uncompiled")  # fmt: skip
def test_compiled_and_pruning() -> None:
    assert same(run(whole(model()), PRUNING), reference(PRUNING), 1e-4)


@combination(
    "torch.compile (blocks)", "group offload", "back blocks", means="the output is that of the uncompiled model"
)
def test_compiled_and_group_offload() -> None:
    one, blocks = model((1, 2)), (1, 2)  # the last two are a group, of which the first is reused
    one.compile_repeated_blocks(backend="eager")
    grouped(one)
    assert same(run(one, JOINED), reference(JOINED, blocks), 1e-4)
