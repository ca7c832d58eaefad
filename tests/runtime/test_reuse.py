"""What is reused, how often blocks run, and that a reused step is right where it can be."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from cachedsl.language.parts import Cfg, Compute, Predict, Reuse, Warmup
from cachedsl.language.policy import Policy
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

NAMES = ["dit", "flux", "qwenimage", "wan", "cogvideox"]


def static(front: int, back: int, warmup: int = 2, **more: Any) -> Policy:
    return Policy(compute=Compute(front, back), warmup=Warmup(warmup), reuse=Reuse(threshold="always"), **more)


def bare(front: int, back: int, warmup: int = 2, **more: Any) -> Policy:
    """As `static`, for transformers that the test calls once a step, whatever their family does."""
    return static(front, back, warmup, cfg=Cfg("fused"), **more)


def count_blocks(model: nn.Module) -> tuple[Counter[str], list[Any]]:
    """Count the executions of every block of every ModuleList, by list and index."""
    counts: Counter[str] = Counter()
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and "block" in name and "." not in name:
            for i, block in enumerate(module):
                key = f"{name}.{i}"
                handles.append(block.register_forward_hook(lambda *_, key=key: counts.update([key])))
    return counts, handles


@pytest.mark.parametrize("predict", [Predict(), Predict("taylor", 2)], ids=["copy", "taylor"])
@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (1, 1)], ids=["F0B0", "F1B0", "F1B1"])
@pytest.mark.parametrize("name", NAMES)
def test_stationary_input_makes_a_reused_step_equal_a_computed_one(
    name: str, shape: tuple[int, int], predict: Predict
) -> None:
    model = tiny_transformer(name)
    fixed = inputs(name, 1, 6)
    with bare(*shape, warmup=3, predict=predict).apply(model, num_inference_steps=6) as cached, torch.no_grad():
        outputs = [model(**fixed, return_dict=False)[0] for _ in range(6)]
        kinds = [s.outcome for s in cached.trace.steps() if s.stack == cached.trace.steps()[0].stack]
    assert kinds == ["computed"] * 3 + ["reused"] * 3
    scale = outputs[0].abs().max()
    assert all(float((o - outputs[0]).abs().max() / scale) < 1e-4 for o in outputs[1:])


@pytest.mark.parametrize("name", NAMES)
def test_only_front_and_back_blocks_run_on_reused_steps(name: str) -> None:
    model = tiny_transformer(name)
    counts, handles = count_blocks(model)
    steps = 6
    with bare(1, 1).apply(model, num_inference_steps=steps) as cached, torch.no_grad():
        for i in range(steps):
            model(**inputs(name, i, steps))
        summary = cached.summary()
    for handle in handles:
        handle.remove()
    lists = {key.rsplit(".", 1)[0] for key in counts}
    for path in lists:
        last = max(int(key.rsplit(".", 1)[1]) for key in counts if key.startswith(f"{path}."))
        assert last >= 2, "the tiny model must have a middle"
        for i in range(last + 1):
            assert counts[f"{path}.{i}"] == (steps if i in (0, last) else 2)
    assert summary.blocks_run == sum(counts.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_permissive_threshold_reuses_everything_that_the_guards_allow(name: str) -> None:
    model = tiny_transformer(name)
    reuse = Reuse(threshold=1e6, max_continuous=2)
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=reuse, cfg=Cfg("fused"))
    with policy.apply(model, num_inference_steps=8) as cached, torch.no_grad():
        for i in range(8):
            model(**inputs(name, i, 8))
        for stack in {s.stack for s in cached.trace.steps()}:
            steps = cached.trace.steps(stack=stack)
            assert "".join(s.outcome[0] for s in steps) == "ccrrcrrc"
            assert all((s.value is not None) == (s.outcome == "reused") for s in steps)


@pytest.mark.parametrize("signal", ["residual", "hidden_states"])
def test_the_measured_value_is_the_relative_l1_of_its_tap(signal: Any) -> None:
    model = tiny_transformer("dit")
    taps: list[torch.Tensor] = []

    def watch(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        taps.append(output - args[0] if signal == "residual" else output)

    handle = model.transformer_blocks[0].register_forward_hook(watch)
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold=1e6, signal=signal))
    with policy.apply(model, num_inference_steps=4) as cached, torch.no_grad():
        for i in range(4):
            model(**inputs("dit", i, 4))
        values = [s.value for s in cached.trace.steps()]
    handle.remove()
    expected = [float((t - taps[0]).abs().mean() / taps[0].abs().mean()) for t in taps]
    assert values[0] is None
    assert values[1:] == pytest.approx(expected[1:], rel=1e-6)


def test_separate_branches_have_machines_of_their_own() -> None:
    pipe = tiny_pipeline("wan")
    with static(1, 0, warmup=1).apply(pipe) as cached:
        call(pipe, 4)
        assert {s.branch for s in cached.trace.steps()} == {"cond", "uncond"}
        for branch in ("cond", "uncond"):
            assert [s.outcome for s in cached.trace.steps(branch=branch)] == ["computed"] + ["reused"] * 3


def test_followers_take_the_verdict_of_the_first_branch() -> None:
    pipe = tiny_pipeline("wan")
    policy = Policy(
        compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold=0.4), cfg=Cfg("auto", decision="follow_first")
    )
    with policy.apply(pipe) as cached:
        call(pipe, 10)
        leader, follower = (cached.trace.steps(branch=b) for b in ("cond", "uncond"))
        assert [s.outcome for s in leader] == [s.outcome for s in follower]
        assert {s.reason for s in follower[1:]} == {"followed"}


def test_each_of_two_transformers_counts_its_own_steps_and_warms_up() -> None:
    pipe = tiny_pipeline("wan22")
    steps = 10
    with static(1, 0, warmup=2).apply(pipe) as cached:
        call(pipe, steps)
        seen = {
            name: [s for s in cached.trace.steps(branch="cond") if s.transformer == name]
            for name in ("transformer", "transformer_2")
        }
        summary = cached.summary()
    indices = [s.step for name in seen for s in seen[name]]
    assert indices == list(range(steps))  # one global clock
    for records in seen.values():
        assert len(records) > 2
        assert [s.outcome for s in records] == ["computed"] * 2 + ["reused"] * (len(records) - 2)
    assert not summary.warnings


def test_stacks_override_one_block_list() -> None:
    pipe = tiny_pipeline("flux")
    override = {"reuse": {"threshold": 0.0}}
    policy = static(1, 0).__class__(
        compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always"), stacks=(("single_*", override),)
    )
    with policy.apply(pipe) as cached:
        call(pipe, 4)
        assert {s.outcome for s in cached.trace.steps(stack="single_transformer_blocks")} == {"computed"}
        assert [s.outcome for s in cached.trace.steps(stack="transformer_blocks")] == ["computed"] + ["reused"] * 3


def test_taylor_comes_closer_than_copy() -> None:
    errors = {}
    for predict in (Predict(), Predict("taylor", 1)):
        pipe = tiny_pipeline("cogvideox")
        expected = call(pipe, 12)
        with static(1, 0, warmup=6, predict=predict).apply(pipe):
            errors[predict.method] = float((call(pipe, 12) - expected).abs().mean())
    assert 0 < errors["taylor"] < errors["copy"]


def test_held_bytes_counts_what_is_held() -> None:
    model = tiny_transformer("dit")
    with static(1, 0, warmup=1).apply(model) as cached, torch.no_grad(), cached.run(steps=3):
        model(**inputs("dit", 0, 3))
        tokens = 16
        hidden = model.config.num_attention_heads * model.config.attention_head_dim
        assert cached.held_bytes() == inputs("dit", 0, 3)["hidden_states"].shape[0] * tokens * hidden * 4


def test_a_list_that_is_entered_twice_has_one_machine_per_pass() -> None:
    class Twice(type(tiny_transformer("dit"))):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            first = super().forward(*args, **{**kwargs, "return_dict": False})[0]
            second = super().forward(*args, **{**kwargs, "return_dict": False})[0]
            return (first + 2 * second,)

    model = tiny_transformer("dit")
    expected = tiny_transformer("dit")
    model.__class__ = expected.__class__ = Twice
    fixed = inputs("dit", 1, 5)
    with static(1, 0).apply(model, num_inference_steps=5) as cached, torch.no_grad():
        outputs = [model(**fixed)[0] for _ in range(5)]
        want = expected(**fixed)[0]
        for stack in ("transformer_blocks", "transformer_blocks#2"):
            assert "".join(s.outcome[0] for s in cached.trace.steps(stack=stack)) == "ccrrr"
    assert all(torch.allclose(o, want, atol=1e-4) for o in outputs)
