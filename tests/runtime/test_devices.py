"""Other dtypes, devices and ways to hold weights: what is cached follows the blocks, wherever they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import accelerate
import diffusers
import pytest
import torch
from torch import nn

from cachedsl import Policy
from cachedsl.language.parts import Cfg, Compute, Predict, Reuse, Warmup
from tests.tiny import inputs, tiny_transformer

STEPS = 6
CPU = torch.device("cpu")
CUDA = pytest.param("cuda", marks=pytest.mark.gpu)
EXACT = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(0.0), cfg=Cfg("fused"))
REUSING = Policy(
    compute=Compute(1, 1), warmup=Warmup(3), reuse=Reuse("always"), predict=Predict("taylor", 1), cfg=Cfg("fused")
)


def run(model: nn.Module, device: Any = CPU, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    outputs = []
    with torch.no_grad():
        for step in range(STEPS):
            given = inputs("flux", step, STEPS)
            moved = {
                name: value.to(device, dtype if value.is_floating_point() else None)
                if isinstance(value, torch.Tensor)
                else value
                for name, value in given.items()
            }
            outputs.append(model(**moved, return_dict=False)[0])
    return outputs


def under(policy: Policy, model: nn.Module, *where: Any) -> tuple[list[torch.Tensor], str]:
    with policy.apply(model, num_inference_steps=STEPS) as cached:
        outputs = run(model, *where)
        return outputs, "".join(s.outcome[0] for s in cached.trace.steps(stack="transformer_blocks"))


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtypes_on_devices(device: str, dtype: torch.dtype) -> None:
    model = tiny_transformer("flux").to(device, dtype)
    plain = run(model, device, dtype)
    outputs, _ = under(EXACT, model, device, dtype)
    assert equal(outputs, plain)
    outputs, outcomes = under(REUSING, model, device, dtype)
    assert outcomes == "cccrrr"
    assert all(output.dtype is dtype and output.device.type == device and output.isfinite().all() for output in outputs)
    assert equal(under(REUSING, model, device, dtype)[0], outputs)
    assert equal(run(model, device, dtype), plain)


def grouped(kind: str) -> Callable[[Any], object]:
    def group(model: Any) -> None:
        if diffusers.__version__.startswith("0.37."):
            pytest.skip("this diffusers groups weights only where there is an accelerator")
        model.enable_group_offload(onload_device=CPU, offload_device=CPU, offload_type=kind, num_blocks_per_group=1)

    return group


def cast(model: Any) -> None:
    model.enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)


HELD: dict[str, Callable[[Any], object]] = {
    "block_level groups": grouped("block_level"),
    "leaf_level groups": grouped("leaf_level"),
    "layerwise casting": cast,
    "sequential offload": lambda model: accelerate.cpu_offload(model, execution_device=CPU),
    "model offload": lambda model: accelerate.cpu_offload_with_hook(model, execution_device=CPU),
}


@pytest.mark.parametrize("how", HELD)
def test_weights_that_are_elsewhere(how: str) -> None:
    """Hooks of diffusers and accelerate that bring the weights of a block when it is called; some never are."""
    model = tiny_transformer("flux")
    HELD[how](model)
    plain = run(model)
    assert equal(under(EXACT, model)[0], plain)
    outputs, outcomes = under(REUSING, model)
    assert outcomes == "cccrrr"
    if how != "layerwise casting":  # which rounds the weights
        assert equal(outputs, under(REUSING, tiny_transformer("flux"))[0])
    assert equal(run(model), plain)


@pytest.mark.parametrize("how", HELD)
def test_they_may_be_put_there_under_a_policy(how: str) -> None:
    model = tiny_transformer("flux")
    plain, expected = run(model), under(REUSING, model)[0]
    with REUSING.apply(model, num_inference_steps=STEPS) as cached:
        HELD[how](model)
        outputs = run(model)
        assert [s.outcome for s in cached.trace.steps(stack="transformer_blocks")].count("reused") == 3
    if how != "layerwise casting":
        assert equal(outputs, expected)
        assert equal(run(model), plain)
