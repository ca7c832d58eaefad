"""LoRA by peft and IP-Adapter: loaded, scaled, fused and taken away, before a run, between runs and in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import evolve

from cachedsl import Policy
from tests.combinations.base import MEASURING, REUSING, STEPS, call, lora, model, near, reference, run, same
from tests.combinations.registry import combination
from tests.tiny import inputs


@combination(
    "LoRA",
    "before or after apply",
    means="both orders give the same output; once the LoRA is deleted, the model is as before",
)
def test_lora_before_and_after_apply() -> None:
    before, after = model(), model()
    lora(before)
    expected = run(before, MEASURING)
    assert not near(expected[0], reference(MEASURING)[0])
    with MEASURING.apply(after, num_inference_steps=STEPS):
        lora(after)
        assert near([call(after, step) for step in range(STEPS)], expected[0])
        after.delete_adapters("style")
        assert near([call(after, step) for step in range(STEPS)], reference(MEASURING)[0])


@combination("LoRA", "two adapters, scaled between runs", means="each run uses the adapters that are set then")
def test_adapters_set_between_runs() -> None:
    one = model()
    lora(one)
    lora(one, "detail", seed=2)
    with REUSING.apply(one, num_inference_steps=STEPS) as cached:
        seen = []
        for names, scales in ((["style"], [1.0]), (["style", "detail"], [0.5, 2.0]), (["style"], [1.0])):
            one.set_adapters(names, scales)
            seen.append([call(one, step) for step in range(STEPS)])
        assert not cached.trace.warnings()
    assert near(seen[0], seen[2])
    assert not near(seen[0], seen[1])


@combination("LoRA", "fused and unfused", means="fused, unfused, and unfused again give the same output")
def test_fused_adapters() -> None:
    one = model()
    lora(one)
    expected = run(one)
    with REUSING.apply(one, num_inference_steps=STEPS):
        one.fuse_lora()
        assert near([call(one, step) for step in range(STEPS)], expected[0], 1e-4)
        one.unfuse_lora()
        assert near([call(one, step) for step in range(STEPS)], expected[0], 1e-4)


def _written(one: Any) -> None:
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.mul_(0.9)


CHANGES: dict[str, Callable[[Any], object]] = {
    "scaled": lambda one: one.set_adapters(["style"], [0.25]),
    "another one": lambda one: lora(one, "detail", seed=2),
    "deleted": lambda one: one.delete_adapters("style"),
    "disabled": lambda one: one.disable_adapters(),
    "fused": lambda one: one.fuse_lora(lora_scale=0.5),
    "weights written": _written,
    "weights loaded": lambda one: one.load_state_dict({k: v * 0.9 for k, v in one.state_dict().items()}),
}


@pytest.mark.parametrize("change", CHANGES)
@combination(
    "LoRA or weights",
    "changed in the middle of a run",
    means="what was kept is dropped; the next step is computed with the new weights, and the run goes on",
    said="were changed 1 time in a run of 6 steps, before step 3; what was kept was dropped there",
)
def test_changed_in_the_middle_of_a_run(change: str) -> None:
    one, other = model(), model()
    for target in (one, other):
        lora(target)
    outputs, letters = run(one, REUSING, lambda step: CHANGES[change](one) if step == 3 else None)
    CHANGES[change](other)
    assert torch.equal(outputs[3], call(other, 3)), "computed by the new weights alone"
    assert letters[3] == "c"
    assert "r" in letters[4:]


@combination("LoRA", "scaled before every step", means="every step is computed, so nothing outdated is reused",
             said="were changed 5 times in a run of 6 steps, first before step 1")  # fmt: skip
def test_scaled_before_every_step() -> None:
    one = model()
    lora(one)
    with REUSING.apply(one, num_inference_steps=STEPS) as cached:
        for step in range(STEPS):
            one.set_adapters(["style"], [1 - step / 10])
            call(one, step)
        assert {s.outcome for s in cached.trace.steps()} == {"computed"}


@combination("LoRA", "threshold 0, scaled before every step", means="nothing is kept, so nothing is said of it")
def test_scaled_where_nothing_is_kept() -> None:
    one = model()
    lora(one)
    with evolve(REUSING, reuse=Policy(reuse={"threshold": 0}).reuse).apply(one, num_inference_steps=3) as cached:
        for step in range(3):
            one.set_adapters(["style"], [1 - step / 10])
            call(one, step)
        assert not cached.trace.warnings()


@combination("LoRA", "of one CFG branch only", means="each branch uses its own weights, and is reused")
def test_an_adapter_of_one_branch() -> None:
    one = model()
    lora(one)
    policy = REUSING.__class__(compute="F1B1", warmup=2, reuse={"threshold": "always"}, cfg="separate")
    with policy.apply(one, num_inference_steps=STEPS) as cached, torch.no_grad():
        for step in range(STEPS):
            for branch, scale in (("cond", 1.0), ("uncond", 0.0)):
                one.set_adapters(["style"], [scale])
                one(**inputs("flux", step, STEPS, branch), return_dict=False)
        outcomes = {b: [s.outcome[0] for s in cached.trace.steps(branch=b)] for b in ("cond", "uncond")}
        assert outcomes["cond"] == outcomes["uncond"]
        assert "r" in outcomes["cond"]
        assert not [w for w in cached.trace.warnings() if w.code == "weights-changed"]


def ip_adapter(one: Any) -> None:
    """Put a Flux IP-Adapter with random weights on every double-stream block."""
    torch.manual_seed(3)
    inner = one.config.num_attention_heads * one.config.attention_head_dim
    joint, image, tokens = one.config.joint_attention_dim, 12, 4
    projection = {
        "proj.weight": torch.randn(tokens * joint, image) / 4,
        "proj.bias": torch.zeros(tokens * joint),
        "norm.weight": torch.ones(joint),
        "norm.bias": torch.zeros(joint),
    }
    attention = {
        f"{index}.to_{name}_ip.{part}": torch.randn(*shape) / 4
        for index in range(one.config.num_layers)
        for name in "kv"
        for part, shape in (("weight", (inner, joint)), ("bias", (inner,)))
    }
    one._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": attention}])


@combination("IP-Adapter", "measuring", means="both orders give the same output, and the image prompt has its effect")
def test_ip_adapter_before_and_after_apply() -> None:
    embeds = [torch.ones(1, 1, 12)]

    def outputs(one: Any) -> list[torch.Tensor]:
        with torch.no_grad():
            return [
                one(
                    **inputs("flux", step, STEPS),
                    joint_attention_kwargs={"ip_adapter_image_embeds": embeds},
                    return_dict=False,
                )[0]
                for step in range(STEPS)
            ]

    before, after = model(), model()
    ip_adapter(before)
    with MEASURING.apply(before, num_inference_steps=STEPS) as cached:
        expected = outputs(before)
        assert "reused" in {s.outcome for s in cached.trace.steps()}
    with MEASURING.apply(after, num_inference_steps=STEPS):
        ip_adapter(after)
        assert near(outputs(after), expected)
    assert not near(expected, reference(MEASURING)[0])


def test_the_same_is_the_same() -> None:
    assert same(run(model()), reference())
