"""How weights are held: quantised, cast, offloaded by accelerate and diffusers; and modules that take others' places."""

from __future__ import annotations

import copy
from typing import Any

import accelerate
import pytest
import torch
from attrs import evolve
from torch import nn
from torchao.quantization import Int8WeightOnlyConfig, quantize_

from cachedsl import Policy
from tests.combinations.base import (
    MEASURING,
    PRUNING,
    REUSING,
    STEPS,
    Outputs,
    call,
    exchanged,
    lora,
    model,
    near,
    reference,
    run,
    same,
)
from tests.combinations.registry import combination
from tests.tiny import call as call_pipeline
from tests.tiny import tiny_pipeline

CPU = torch.device("cpu")


def quantising(policy: Policy, kind: str = "int8_weight_only", component: str = "transformer") -> Policy:
    return evolve(policy, runtime=Policy(runtime={"quantize": {component: kind}}).runtime)


@pytest.mark.parametrize("kind", ["int8_weight_only", "int8_dynamic", "float8_weight_only"])
@combination(
    "quantised weights",
    "Taylor",
    means="the decisions are those of the original model, and the outputs are close to its own",
)
def test_quantised_and_taylor(kind: str) -> None:
    assert same(run(model(), quantising(REUSING, kind)), reference(), 0.5)


@combination(
    "quantised weights", "LoRA loaded afterwards", means="both orders of apply and loading give the same output"
)
def test_quantised_and_lora() -> None:
    one, other = model(), model()
    outputs: list[Outputs] = []
    quantize_(one, Int8WeightOnlyConfig())
    lora(one)
    outputs.append(run(one)[0])
    with quantising(REUSING).apply(other, num_inference_steps=STEPS):
        lora(other)
        outputs.append([call(other, step) for step in range(STEPS)])
    assert near(outputs[0], outputs[1], 1e-5)
    assert not near(outputs[0], reference()[0], 1e-3)


@combination("LoRA", "quantised afterwards", means="the layers below the LoRA are quantised; the LoRA is not")
def test_lora_and_quantised() -> None:
    one = model()
    lora(one)
    expected = run(one)
    assert same(run(one, quantising(REUSING)), expected, 0.5)
    query = one.transformer_blocks[0].attn.to_q
    assert "torchao" in type(query.base_layer.weight).__module__
    assert type(query.lora_A["style"].weight) is nn.Parameter


@combination("quantised weights", "pruning", means="single blocks decide by the inputs of the quantised blocks")
def test_quantised_and_pruning() -> None:
    outputs, _ = run(model(), quantising(PRUNING))
    assert near(outputs, reference(PRUNING)[0], 1.0)


@combination("quantised weights", "measuring", "separate CFG", means="a pipeline's run reuses steps in both branches")
def test_quantised_and_separate_cfg() -> None:
    pipe = tiny_pipeline("qwenimage")
    policy = Policy(compute="F1B0", warmup=1, reuse={"threshold": 0.6})
    with quantising(policy).apply(pipe) as cached:
        assert call_pipeline(pipe, STEPS, true_cfg_scale=4.0).isfinite().all()
        for branch in ("cond", "uncond"):
            assert "reused" in {s.outcome for s in cached.trace.steps(branch=branch)}


@combination("quantised weights", "group offload", means="the output is that without offload")
def test_quantised_and_group_offload() -> None:
    one, other = model(), model()
    expected = run(one, quantising(REUSING))
    with quantising(REUSING).apply(other, num_inference_steps=STEPS):
        grouped(other)
        assert near([call(other, step) for step in range(STEPS)], expected[0], 1e-5)


def grouped(one: Any, blocks: int = 2) -> None:
    one.enable_group_offload(
        onload_device=CPU, offload_device=CPU, offload_type="block_level", num_blocks_per_group=blocks
    )


def cast(one: Any) -> None:
    one.enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)


HOLDERS = {
    "sequential offload (accelerate)": lambda one: accelerate.cpu_offload(one, execution_device=CPU),
    "model offload (accelerate)": lambda one: accelerate.cpu_offload_with_hook(one, execution_device=CPU),
    "layerwise casting": cast,
    "group offload": grouped,
}


@pytest.mark.parametrize("how", HOLDERS)
@pytest.mark.parametrize("policy", [MEASURING, PRUNING, evolve(REUSING, features=Policy(features={"dtype": "bfloat16", "device": "cpu"}).features)], ids=["measuring", "pruning", "features"])  # fmt: skip
@combination("offload or layerwise casting", "measuring, pruning, features elsewhere",
             means="the output is that with all weights in place, except for the rounding of casts")  # fmt: skip
def test_weights_elsewhere(policy: Policy, how: str) -> None:
    one = model()
    HOLDERS[how](one)
    outputs = run(one, policy)
    if how == "layerwise casting":
        assert near(outputs[0], reference(policy)[0], 0.5)
    else:
        assert same(outputs, reference(policy), 1e-5)


@combination("runtime.quantize", "float8_dynamic on the CPU", means="nothing is changed",
             refused="needs a CUDA device of compute capability 8.9 or more, and its weights are on cpu")  # fmt: skip
def test_float8_on_the_cpu() -> None:
    quantising(REUSING, "float8_dynamic").apply(model())


@combination("runtime.quantize", "int4_weight_only on the CPU", means="nothing is changed",
             refused="needs a CUDA device of compute capability 8.0 or more, and its weights are on cpu")  # fmt: skip
def test_int4_on_the_cpu() -> None:
    quantising(REUSING, "int4_weight_only").apply(model())


@combination("runtime.quantize", "applied again with another kind", means="what is quantised already stays as it is",
             refused="which cannot be taken back; load it anew; nothing was changed")  # fmt: skip
def test_another_kind() -> None:
    one = model()
    run(one, quantising(REUSING, "int8_weight_only"))
    quantising(REUSING, "int8_dynamic").apply(one)


@combination(
    "a block exchanged",
    "after apply",
    means="the new block runs; with a quantised copy, the outputs are those of the copy",
)
def test_a_block_exchanged_after_apply() -> None:
    def copied(block: nn.Module) -> nn.Module:
        made = copy.deepcopy(block)
        quantize_(made, Int8WeightOnlyConfig())
        return made

    before, after = model(), model()
    exchanged(before, copied)
    expected = run(before)
    with REUSING.apply(after, num_inference_steps=STEPS):
        exchanged(after, copied)
        assert near([call(after, step) for step in range(STEPS)], expected[0])
    assert not near(expected[0], reference()[0])


@combination("another transformer", "assigned after apply, as by quantize_dynamic or from_pretrained",
             means="it runs uncached, and a warning says so; apply the policy to it again",
             said="no transformer under the policy was called; if another one was put in its place since")  # fmt: skip
def test_another_transformer_after_apply() -> None:
    pipe, plain = tiny_pipeline("flux"), tiny_pipeline("flux")
    with torch.no_grad():
        copied = torch.ao.quantization.quantize_dynamic(plain.transformer, {nn.Linear}, dtype=torch.qint8)
    with REUSING.apply(pipe):
        pipe.transformer = copied
        cached_output = call_pipeline(pipe, 4)
    plain.transformer = copied
    assert torch.equal(cached_output, call_pipeline(plain, 4))
