"""A warning names the cause, counts what it names, and gives an advice that works; there is one of a kind for a run."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
import torch
from attrs import evolve
from diffusers import UNet2DModel

from cachedsl import Policy
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.matching.adapter import UnsupportedModel
from tests.tiny import _noise, call, inputs, tiny_pipeline, tiny_transformer

STATIC = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always"))


def only(cached: Any, run: int = 0) -> str:
    cached.summary()
    (warning,) = cached.trace.warnings(run=run)
    message: str = warning.message
    return message


def both(model: Any, step: int, steps: int) -> None:
    for branch in ("cond", "uncond"):
        model(**inputs("wan", step, steps, branch))


def test_an_interrupted_pipeline_is_not_told_of_cfg() -> None:
    pipe = tiny_pipeline("qwenimage")

    def stop(pipe: Any, i: int, t: Any, kwargs: Any) -> Any:
        pipe._interrupt = i == 2
        return kwargs

    with STATIC.apply(pipe) as cached:
        call(pipe, 6, callback_on_step_end=stop)
        message = only(cached)
    assert "called on 3 steps in each of 2 branches of a run of 6; if it was interrupted" in message
    assert "cfg" not in message
    assert "tell" not in message, "nobody told a pipeline its count"


@pytest.mark.parametrize("delimited", [True, False])
def test_fused_calls_that_come_twice_a_step_are_told_of_separate(delimited: bool) -> None:
    model = tiny_transformer("wan")
    fused = evolve(STATIC, cfg=Cfg("fused"))
    with fused.apply(model, num_inference_steps=None if delimited else 6) as cached, torch.no_grad():
        if delimited:
            with cached.run(steps=6):
                for step in range(6):
                    both(model, step, 6)
        else:
            for step in range(6):
                both(model, step, 6)
        assert "set cfg: separate (or auto)" in only(cached)
    with evolve(STATIC, cfg=Cfg("separate")).apply(model) as cached, torch.no_grad(), cached.run(steps=6):
        for step in range(6):
            both(model, step, 6)
    assert not cached.trace.warnings(), "the advice works"


def test_separate_calls_that_come_once_a_step_are_told_of_fused() -> None:
    model = tiny_transformer("wan")
    for mode, words in (("separate", "set cfg: fused"), ("fused", "")):
        with evolve(STATIC, cfg=Cfg(mode)).apply(model) as cached, torch.no_grad():  # type: ignore[arg-type]
            with cached.run(steps=6):
                for step in range(6):
                    model(**inputs("wan", step, 6))
            assert (words in only(cached)) if words else not cached.trace.warnings()


def test_steps_are_counted_once_however_many_lists_and_branches_there_are() -> None:
    pipe = tiny_pipeline("flux")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse(1e-9), span="stack")
    with policy.apply(pipe) as cached:
        call(pipe, 6)
        message = only(cached)
    assert "nothing was reused: 4 steps were measured, in each of 2 block lists, smallest" in message
    with evolve(policy, warmup=Warmup(8)).apply(pipe) as cached:
        call(pipe, 6)
        message = only(cached)
    assert "all 6 were computed (no_history, warmup), in each of 2 block lists; the policy's warmup" in message


def test_there_is_one_warning_of_a_kind_for_a_run(caplog: pytest.LogCaptureFixture) -> None:
    """Guidance on some steps only, with three branches, one of them at the end; numbers that are not finite."""
    model = tiny_transformer("wan")
    with (
        caplog.at_level(logging.WARNING, "cachedsl"),
        torch.no_grad(),
        evolve(STATIC, reuse=Reuse(0.5)).apply(model) as cached,
    ):
        with cached.run(steps=6):
            for step in range(6):
                for branch in ("cond", "uncond", "third")[: 1 + (step < 3) + (step < 2)]:
                    made = inputs("wan", step, 6, "uncond" if branch == "uncond" else "cond")
                    if branch == "third":
                        made["encoder_hidden_states"] = _noise(1, 6, 16, seed=3, role=8)
                    if step == 4:
                        made["hidden_states"] = made["hidden_states"] * float("nan")
                    model(**made)
        kinds = Counter(warning.code for warning in cached.trace.warnings(run=0))
        assert kinds == {"calls-differ": 1, "not-finite": 1, "output-not-finite": 1}
        assert (
            "branch uncond was called on 3 steps and branch branch_3 was called on 2 steps of a run of 6" in caplog.text
        )


@pytest.mark.parametrize("levels", [2, 3])
def test_a_unet_whose_blocks_are_levels_is_refused_or_learned_without_them(levels: int) -> None:
    torch.manual_seed(0)
    config: dict[str, Any] = {
        "sample_size": 16,
        "layers_per_block": 1,
        "block_out_channels": (16,) * levels,
        "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D",) * levels,
        "up_block_types": ("UpBlock2D",) * levels,
    }
    model = UNet2DModel(**config).eval()
    start, drift = _noise(1, 3, 16, 16, seed=0, role=1), _noise(1, 3, 16, 16, seed=0, role=2)
    for notation in ("F1B0_W2_R0.5", "F0B0_W1_S", "F1B0_W1_S"):
        with Policy.from_notation(notation).apply(model, num_inference_steps=4) as cached, torch.no_grad():
            try:
                for step in range(4):
                    model(start + 0.1 * step * drift, torch.tensor(1000 - 200 * step))
            except UnsupportedModel as error:
                assert "up_blocks: " in str(error)
                assert "takes hidden_states as (1, 16, " in str(error)
            else:
                assert cached.learnt is not None
                assert not any(
                    path == "up_blocks" for one in cached.learnt.transformers.values() for path in one.stacks
                )
