"""How torch and diffusers run a model: autocast, inference mode, attention backends, memory formats, training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from attrs import evolve
from diffusers.models.attention_dispatch import _AttentionBackendRegistry

from cachedsl import Policy
from tests.combinations.base import MEASURING, PRUNING, REUSING, STEPS, call, model, near, reference, run, same
from tests.combinations.registry import combination
from tests.tiny import call as call_pipeline
from tests.tiny import inputs, tiny_pipeline, tiny_transformer


@pytest.fixture(autouse=True)
def attention_backend() -> Iterator[None]:
    """Undo what `set_attention_backend` sets for all models."""
    before, _ = _AttentionBackendRegistry.get_active_backend()
    yield
    _AttentionBackendRegistry.set_active_backend(before)


REPAYING = evolve(REUSING, predict=Policy(predict={"method": "taylor", "repay": 0.5}).predict)


@pytest.mark.parametrize("name", ["native", "_native_math"])
@combination("attention backend", "measuring", means="the backend may be set before or after apply")
def test_attention_backends(name: str) -> None:
    before, after, alone = model(), model(), reference(MEASURING)  # before the backend is set, for all models
    before.set_attention_backend(name)
    expected = run(before, MEASURING)
    assert same(expected, alone, 1e-4)
    with MEASURING.apply(after, num_inference_steps=STEPS):
        after.set_attention_backend(name)
        assert near([call(after, step) for step in range(STEPS)], expected[0])


@combination("attention backend flex", "Taylor", means="the same verdicts, and outputs within rounding")
def test_flex_attention() -> None:
    one, alone = model(blocks=3), reference()
    one.set_attention_backend("flex")
    assert same(run(one), alone, 1e-4)


@combination(
    "autocast",
    "repay",
    means="the decisions are those without autocast, outputs agree within bfloat16, and the blocks' dtypes are kept",
)
def test_autocast_and_repay() -> None:
    one = model()
    with torch.autocast("cpu", torch.bfloat16):
        plain = [call(one, step) for step in range(STEPS)]
        outputs, letters = run(one, REPAYING)
    assert letters == reference(REPAYING)[1]
    assert near(outputs, reference(REPAYING)[0], 0.2)
    assert {o.dtype for o in outputs} == {o.dtype for o in plain}
    assert near(outputs[:2], plain[:2])


@pytest.mark.parametrize("policy", [REUSING, PRUNING], ids=["one span", "pruned"])
@pytest.mark.parametrize("how", ["dtype", "autocast"])
@combination("another dtype", "in the middle of a run", means="what is kept in the old one is not reused, then it is again",
             said="dtypes were changed 1 time in a run of 8 steps, before step 4")  # fmt: skip
def test_another_dtype_in_the_middle_of_a_run(how: str, policy: Policy) -> None:
    """DiT takes the dtype of what its blocks return for that of its embedders."""
    steps, policy = 8, evolve(policy, cfg=Policy(cfg="fused").cfg)
    one, bare = tiny_transformer("dit"), tiny_transformer("dit").bfloat16()
    with policy.apply(one, num_inference_steps=steps) as cached, torch.no_grad():
        for step in range(steps):
            given = inputs("dit", step, steps)
            if how == "dtype" and step >= 4:
                one.bfloat16()
                given["hidden_states"] = given["hidden_states"].bfloat16()
            with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast" and step >= 4):
                output = one(**given, return_dict=False)[0]
            if step == 4:
                assert how == "autocast" or torch.equal(output, bare(**given, return_dict=False)[0])
        letters = "".join(s.outcome[0] for s in cached.trace.steps())
    assert letters[4] == "c"
    assert "r" in letters[:4]
    assert "r" in letters[5:]


@combination(
    "inference mode",
    "measuring",
    means="the output is that under no_grad, and runs of both kinds may follow each other",
)
def test_inference_mode() -> None:
    one = model()
    with torch.inference_mode():
        assert same(run(one, MEASURING), reference(MEASURING))
    assert same(run(one, MEASURING), reference(MEASURING))


@combination("channels last", "pruning", means="the same verdicts, and outputs within rounding")
def test_channels_last_and_pruning() -> None:
    outputs = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        one = tiny_transformer("dit").to(memory_format=memory_format)
        policy = evolve(PRUNING, cfg=Policy(cfg="fused").cfg)
        with policy.apply(one, num_inference_steps=STEPS) as cached, torch.no_grad():
            outputs.append([])
            for step in range(STEPS):
                given = inputs("dit", step, STEPS)
                given["hidden_states"] = given["hidden_states"].to(memory_format=memory_format)
                outputs[-1].append(one(**given).sample)
            assert any(unit.outcome == "reused" for s in cached.trace.steps() for unit in s.units)
    assert near(outputs[0], outputs[1], 1e-4)


@combination(
    "VAE tiling",
    "a pipeline's run",
    means="the image is the one that the same latents give when they are decoded in tiles",
)
def test_vae_tiling() -> None:
    pipe, plain = tiny_pipeline("dit"), tiny_pipeline("dit")
    plain.vae.enable_tiling()
    policy = Policy(compute="F1B0", reuse={"threshold": 0})
    with policy.apply(pipe):
        pipe.vae.enable_tiling()
        assert torch.equal(call_pipeline(pipe, 3), call_pipeline(plain, 3))
    with MEASURING.apply(pipe):
        assert call_pipeline(pipe, STEPS).isfinite().all()


@pytest.mark.parametrize("policy", [REUSING, MEASURING], ids=["reusing", "measuring"])
@combination(
    "training",
    "gradient checkpointing",
    means="the model runs uncached, with the gradients that it has without a policy",
    said="no gradient goes through what is reused, so it ran uncached",
)
def test_training_with_gradient_checkpointing(policy: Policy) -> None:
    def gradients(one: Any) -> list[torch.Tensor]:
        one.train().requires_grad_(True)
        one.enable_gradient_checkpointing()
        total = sum(one(**inputs("flux", step, STEPS), return_dict=False)[0].square().mean() for step in range(3))
        assert isinstance(total, torch.Tensor)
        total.backward()
        return [p.grad for p in one.parameters() if p.grad is not None]

    expected, one = gradients(model()), model()
    with policy.apply(one, num_inference_steps=STEPS) as cached:
        assert near(gradients(one), expected)
        assert not cached.trace.steps()
        one.eval()
        assert near([call(one, step) for step in range(STEPS)], reference(policy)[0])


@combination("gradients", "eval mode", means="the outputs are those under no_grad, and what is kept holds no graph")
def test_gradients_in_eval_mode() -> None:
    one = model().requires_grad_(True)
    with REUSING.apply(one, num_inference_steps=STEPS) as cached:
        outputs = []
        for step in range(STEPS):
            outputs.append(one(**inputs("flux", step, STEPS), return_dict=False)[0].detach())
            held = [t for r in cached._session.all_runs() for t in r.tensors()]
            assert not any(t.requires_grad for t in held)
    assert near(outputs, reference()[0], 1e-3)  # with gradients, torch takes other kernels


@combination("diffusers' own cache", "apply", means="two caches never run on one model",
             refused="already runs under diffusers' own cache; call its disable_cache() first")  # fmt: skip
def test_another_cache() -> None:
    from diffusers import FirstBlockCacheConfig

    one = model()
    one.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    REUSING.apply(one)
