"""Pipelines that never step their scheduler, and step counts that are told otherwise than the loop has."""

from __future__ import annotations

import io
import re
from contextlib import nullcontext
from typing import Any

import attrs
import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from rich.console import Console
from torch import nn

from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.runtime.errors import ConcurrentRun
from cachedsl.summary import Summary
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer


class ByHand(DiffusionPipeline):
    """Goes over the scheduler's timesteps and makes the steps of Euler's method itself, or lets the scheduler do it."""

    def __init__(self, transformer: nn.Module, scheduler: FlowMatchEulerDiscreteScheduler) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self, steps: int, *, stepping: bool = False, branches: int = 1, first: int = 0, announce: bool = False
    ) -> torch.Tensor:
        self.scheduler.set_timesteps(steps)
        sigmas, times = self.scheduler.sigmas, self.scheduler.timesteps[first:]
        if announce:
            self._num_timesteps = len(times)
        latent = inputs("wan", 0, steps)["hidden_states"]
        if stepping and first:
            self.scheduler.set_begin_index(first)
        for index, t in enumerate(times):
            made = [
                self.transformer(
                    hidden_states=latent,
                    timestep=t[None],
                    encoder_hidden_states=inputs("wan", 0, steps, name)["encoder_hidden_states"],
                    return_dict=False,
                )[0]
                for name in ("cond", "uncond")[:branches]
            ]
            velocity = made[0] if branches == 1 else made[1] + 2.0 * (made[0] - made[1])
            if stepping:
                latent = self.scheduler.step(velocity, t, latent, return_dict=False)[0]
            else:
                latent = latent + (sigmas[first + index + 1] - sigmas[first + index]) * velocity
        return latent


POLICIES = {
    "static": Policy(compute=Compute(1, 0), warmup=Warmup(2), tail=1, reuse=Reuse("always")),
    "measured": Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(0.15)),
    "filtered": Policy(compute=Compute(0, 0), warmup=Warmup(1), reuse=Reuse(0.25, signal=Signal("filtered_latent"))),
    "mask": Policy(compute=Compute(1, 0), steps=BitMask("110101"), reuse=Reuse("always")),
}


@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_a_pipeline_that_never_steps_its_scheduler_is_placed_as_one_that_does(
    policy: Policy, first: int, branches: int
) -> None:
    pipe = ByHand(tiny_transformer("wan"), FlowMatchEulerDiscreteScheduler())
    asked: dict[str, Any] = {"branches": branches, "first": first, "announce": bool(first)}
    with policy.apply(pipe) as cached:
        expected = pipe(6 + first, stepping=True, **asked)
        reference = cached.trace.steps(run=0)
        for run in (1, 2):
            output = pipe(6 + first, **asked)
            found = cached.trace.steps(run=run)
            assert [(s.step, s.outcome, s.reason) for s in found] == [(s.step, s.outcome, s.reason) for s in reference]
            assert len({s.branch for s in found}) == branches
            assert [s.value or 0.0 for s in found] == pytest.approx([s.value or 0.0 for s in reference], rel=1e-3)
            assert torch.allclose(output, expected, atol=1e-4)
        assert {s.step for s in reference} == set(range(6))
        assert any(s.outcome == "reused" for s in reference)
        assert not cached.trace.warnings()


SAYS = {
    (4, True): "was called on 6 steps of a run of 4; what is behind the last step was computed; if the loop has more",
    (4, False): "calls go on behind the last of the 4 steps that were told, and run uncached; tell the count",
    (9, True): "was called on 6 steps of a run of 9; .* if the loop has 6 steps, tell that count where you told 9",
    (9, False): "was called on 6 steps of a run of 9; .* if the loop has 6 steps, tell that count where you told 9",
}


@pytest.mark.parametrize(("told", "delimited"), SAYS)
def test_a_bare_model_that_was_told_another_count_is_told_so(told: int, delimited: bool) -> None:
    """A loop of six steps: what is behind the count is computed, and the second image is as the first."""
    model = tiny_transformer("wan")
    policy = attrs.evolve(POLICIES["static"], cfg=Cfg("fused"))

    def loop() -> list[torch.Tensor]:
        return [model(**inputs("wan", step, 6), return_dict=False)[0] for step in range(6)]

    with torch.no_grad():
        plain = loop()
        with policy.apply(model, num_inference_steps=None if delimited else told) as cached:
            found = []
            for _ in range(2):
                with cached.run(steps=told) if delimited else nullcontext():
                    found.append(loop())
            cached.summary()
            outcomes = "".join(s.outcome[0] for s in cached.trace.steps(run=0))
            runs = [[w.message for w in cached.trace.warnings(run=run)] for run in (0, 1)]
    for said in runs:
        assert len(said) == 1, "one of a kind for a run"
        assert re.search(SAYS[told, delimited], said[0])
    assert outcomes == {9: "ccrrrr", 4: "ccrccc"[: 6 if delimited else 4]}[told]
    computed = {0, 1} if told == 9 else {0, 1, 3, 4, 5}
    for outputs in found:
        assert {step for step in range(6) if torch.equal(outputs[step], plain[step])} == computed


@pytest.mark.parametrize("name", ["flux", "qwenimage"])
@pytest.mark.parametrize("told", [4, 9])
def test_a_transformer_that_was_told_another_count_than_its_pipeline_makes(name: str, told: int) -> None:
    pipe = tiny_pipeline(name)
    with POLICIES["static"].apply(pipe.transformer, num_inference_steps=told) as cached:
        outputs = [call(pipe, 6) for _ in range(2)]
        cached.summary()
        for run in (0, 1):
            (warning,) = cached.trace.warnings(run=run)
            says = SAYS[told, False].replace("6 steps of", "6 steps( in each of 2 branches)? of")
            assert re.search(says, warning.message)
        steps = [{s.step for s in cached.trace.steps(run=run)} for run in (0, 1)]
        assert not cached.trace.steps(run=2)
    assert steps == [set(range(min(told, 6)))] * 2
    assert torch.equal(*outputs)


@pytest.mark.parametrize("told", [4, 6, 9])
def test_a_count_that_the_pipeline_says_at_each_call_goes_before_what_was_told(told: int) -> None:
    """Wan's pipeline shows step and count in its `cache_context`; where the step goes back, another image begins."""
    pipe = tiny_pipeline("wan")
    with POLICIES["static"].apply(pipe.transformer, num_inference_steps=told) as cached:
        outputs = [call(pipe, 6) for _ in range(2)]
        cached.summary()
        assert not cached.trace.warnings()
        runs = [[(s.step, s.branch, s.outcome[0]) for s in cached.trace.steps(run=run)] for run in (0, 1, 2)]
    assert runs[0] == [(step, name, "ccrrrc"[step]) for step in range(6) for name in ("cond", "uncond")]
    assert runs[1:] == [runs[0], []]
    assert torch.equal(*outputs)


def test_a_pipeline_counts_for_itself_and_inside_a_run_that_was_told_it_is_refused() -> None:
    pipe = tiny_pipeline("wan")
    with POLICIES["static"].apply(pipe) as cached:
        expected = call(pipe, 6)
        with pytest.raises(ConcurrentRun), cached.run(steps=9):
            call(pipe, 6)
        assert torch.equal(call(pipe, 6), expected)
        with pytest.raises(TypeError, match="a pipeline is told at each call"):
            POLICIES["static"].apply(tiny_pipeline("wan"), num_inference_steps=9)


def test_a_summary_that_rich_prints_shows_brackets_as_they_are() -> None:
    summary = Summary("mine[/x]", None, None, (), ("blocks[0] [/bold] changed",))
    console = Console(file=io.StringIO(), width=120)
    console.print(summary)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "mine[/x]: no run yet" in shown
    assert "warning: blocks[0] [/bold] changed" in shown
