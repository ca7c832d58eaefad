"""Loops of kinds that pipelines have: from the middle of the schedule, in windows, with an image, left, called into."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from attrs import evolve
from diffusers import (
    AutoencoderKLWan,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    UniPCMultistepScheduler,
    WanPipeline,
    WanVideoToVideoPipeline,
)
from diffusers.hooks import FirstBlockCacheConfig

from cachedsl import Policy, attached
from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Reuse, Signal, Warmup
from cachedsl.language.ratios import Ratios
from cachedsl.runtime.errors import AlreadyAttached
from tests.tiny import _noise, _text, call, inputs, tiny_pipeline, tiny_transformer

STATIC = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse("always"))


def outcomes(cached: Any, **where: Any) -> str:
    return "".join(s.outcome[0] for s in cached.trace.steps(**where))


def error(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


# From the middle of the schedule


def unipc() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def ddim() -> DDIMScheduler:
    return DDIMScheduler(prediction_type="epsilon", clip_sample=False)


def flow() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=3.0)


class Begins(WanVideoToVideoPipeline):
    """Says where its loop begins, as image to image pipelines do."""

    def get_timesteps(self, num_inference_steps: int, timesteps: Any, strength: float, device: Any) -> Any:
        steps, count = super().get_timesteps(num_inference_steps, timesteps, strength, device)
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(len(timesteps) - len(steps))
        return steps, count


def video_to_video(cls: Any, scheduler: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKLWan(
            base_dim=4,
            z_dim=4,
            dim_mult=[1] * 4,
            num_res_blocks=1,
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
            temperal_downsample=[False, True, True],
        )
    pipe = cls(tokenizer=None, text_encoder=None, vae=vae, transformer=tiny_transformer("wan"), scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def denoise(pipe: Any, strength: float = 0.6, guidance: float = 1.0, steps: int = 10) -> torch.Tensor:
    output: torch.Tensor = pipe(
        video=None,
        latents=_noise(1, 4, 2, 8, 8, seed=0, role=9),
        prompt_embeds=_noise(1, 6, 16, seed=0, role=3),
        negative_prompt_embeds=_noise(1, 6, 16, seed=0, role=4),
        height=64,
        width=64,
        num_inference_steps=steps,
        strength=strength,
        guidance_scale=guidance,
        output_type="latent",
        return_dict=False,
    )[0]
    return output


@pytest.mark.parametrize("cls", [WanVideoToVideoPipeline, Begins])
@pytest.mark.parametrize("scheduler", [flow, unipc, ddim])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_steps_of_a_loop_from_the_middle_are_those_that_it_makes(cls: Any, scheduler: Any, guidance: float) -> None:
    pipe = video_to_video(cls, scheduler())
    plain = denoise(pipe, guidance=guidance)
    mask = Policy(compute=Compute(0, 0), warmup=Warmup(1), steps=BitMask("101010", "static"))
    with mask.apply(pipe) as cached:
        for run, strength in enumerate((0.6, 0.6)):
            denoise(pipe, strength, guidance)
            for branch in ("cond",) if guidance == 1 else ("cond", "uncond"):
                steps = cached.trace.steps(run=run, branch=branch)
                assert [(s.step, s.outcome[0]) for s in steps] == list(enumerate("crcrcr"))
        assert not cached.trace.warnings()
    with evolve(mask, steps=None, reuse=Reuse("always"), tail=2).apply(pipe) as cached:
        for strength, expected in ((0.6, "crrrcc"), (1.0, "crrrrrrrcc"), (0.35, "ccc")):
            denoise(pipe, strength, guidance)
            assert outcomes(cached, run=cached.summary().run, branch="cond") == expected
    with evolve(mask, steps=None, reuse=Reuse(0.0)).apply(pipe):
        assert torch.equal(denoise(pipe, guidance=guidance), plain)


@pytest.mark.parametrize("cls", [WanVideoToVideoPipeline, Begins])
def test_calibrated_ratios_are_those_of_the_full_schedule(cls: Any) -> None:
    """Ratios of 1 but for the schedule's places 0 to 3, of which the loop has none."""
    pipe = video_to_video(cls, flow())
    signal = Signal("magnitude", ratios=Ratios(branches=(("cond", (0.1, 0.1, 0.1, 0.1, 1, 1, 1, 1, 1, 1)),)))
    with Policy(compute=Compute(0, 0), warmup=Warmup(1), reuse=Reuse(0.5, signal=signal)).apply(pipe) as cached:
        denoise(pipe)
        assert outcomes(cached) == "crrrrr"
        assert [s.value for s in cached.trace.steps()][1:] == [0.0] * 5


# Windows


class Windows(WanPipeline):
    """Denoises three windows of a long video in every step."""

    named = True

    @torch.no_grad()
    def __call__(self, steps: int = 8) -> torch.Tensor:
        self.scheduler.set_timesteps(steps)
        latents = _noise(1, 4, 6, 8, 8, seed=0, role=9)
        for t in self.scheduler.timesteps:
            parts = []
            for part in latents.split(2, dim=2):
                given = {
                    "hidden_states": part,
                    "timestep": t[None].float(),
                    "encoder_hidden_states": _text(1, "cond", 0),
                }
                if self.named:
                    with self.transformer.cache_context("cond"):
                        parts.append(self.transformer(**given, return_dict=False)[0])
                else:
                    parts.append(self.transformer(**given, return_dict=False)[0])
            latents = self.step(torch.cat(parts, 2), t, latents)
        return latents

    def step(self, output: torch.Tensor, t: Any, latents: torch.Tensor) -> torch.Tensor:
        stepped: torch.Tensor = self.scheduler.step(output, t, latents, return_dict=False)[0]
        return stepped


class OwnSteps(Windows):
    """Never steps its scheduler."""

    def step(self, output: torch.Tensor, t: Any, latents: torch.Tensor) -> torch.Tensor:
        return latents - output / len(self.scheduler.timesteps)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("scheduler", [flow, unipc, ddim])
@pytest.mark.parametrize("cls", [Windows, OwnSteps])
def test_every_window_is_a_branch_from_the_first_step_on(cls: Any, scheduler: Any, named: bool) -> None:
    pipe = cls(tokenizer=None, text_encoder=None, vae=None, transformer=tiny_transformer("wan"), scheduler=scheduler())
    pipe.named = named
    plain = pipe()
    with STATIC.apply(pipe) as cached:
        reused = pipe()
        branches = dict.fromkeys(s.branch for s in cached.trace.steps())
        assert len(branches) == 3
        assert all(outcomes(cached, branch=branch) == "ccrrrrrr" for branch in branches)
        assert not cached.trace.warnings()
        assert torch.equal(pipe(), reused)
        assert cached.held_bytes() == 0
    assert 0 < error(reused, plain) < 0.3
    with evolve(STATIC, reuse=Reuse(0.0)).apply(pipe):
        assert torch.equal(pipe(), plain)


def test_windows_of_a_bare_transformer_are_branches() -> None:
    model = tiny_transformer("wan")
    with STATIC.apply(model) as cached, torch.no_grad(), cached.run(steps=6):
        for step in range(6):
            for window in range(3):
                model(**{**inputs("wan", step, 6, seed=window), "encoder_hidden_states": _text(1, "cond", 0)})
        branches = dict.fromkeys(s.branch for s in cached.trace.steps())
        assert len(branches) == 3
        assert all(outcomes(cached, branch=branch) == "ccrrrr" for branch in branches)


# Branches of a bare transformer that differ in more than the prompt


def with_image(step: int, branch: str, seed: int, kind: str) -> dict[str, Any]:
    made = inputs("wan", step, 6, branch, seed)
    noisy, image = made["hidden_states"], _noise(1, 8, 2, 8, 8, seed=seed, role=7)
    if kind == "channels":
        noisy = torch.cat([noisy, image if branch == "cond" else torch.zeros_like(image)], 1)
    elif kind == "channels_last":
        noisy = torch.cat([image if branch == "cond" else torch.zeros_like(image), noisy], 1)
    elif branch == "cond":  # more frames
        noisy = torch.cat([noisy, image[:, :4]], 2)
    return {**made, "hidden_states": noisy, "return_dict": False}


@pytest.mark.parametrize("kind", ["channels", "channels_last", "tokens"])
@pytest.mark.parametrize("cfg", [Cfg(), Cfg("separate")])
@pytest.mark.parametrize("delimited", [False, True])
def test_an_image_that_one_branch_lacks_tells_no_runs_apart(kind: str, cfg: Cfg, delimited: bool) -> None:
    model = tiny_transformer("wan", in_channels=4 if kind == "tokens" else 12, out_channels=4)
    images = [
        [with_image(step, branch, seed, kind) for step in range(6) for branch in ("cond", "uncond")] for seed in (0, 1)
    ]
    policy = evolve(STATIC, cfg=cfg)
    with policy.apply(model, num_inference_steps=None if delimited else 6) as cached, torch.no_grad():
        for calls in images:
            if delimited:
                with cached.run(steps=6):
                    for given in calls:
                        model(**given)
            else:
                for given in calls:
                    model(**given)
        cached.summary()
        for run in (0, 1):
            for branch in ("cond", "uncond"):
                assert outcomes(cached, run=run, branch=branch) == "ccrrrr"
        assert not cached.trace.warnings()


# Calls that are not the loop's


def extra() -> dict[str, Any]:
    return {**inputs("flux", 2, 6, seed=7), "guidance": torch.full((1,), 3.5), "return_dict": False}


class Preview:
    """A callback that is an object."""

    def __call__(self, pipe: Any, i: int, t: Any, kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            pipe.transformer(**extra())
        return {}


def by_another_pipeline(pipe: Any, i: int, t: Any, kwargs: Any) -> dict[str, Any]:
    other = FluxPipeline(**pipe.components)
    other.set_progress_bar_config(disable=True)
    other.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    call(other, 2)
    return {}


@pytest.mark.parametrize(
    "callback", [Preview(), torch.no_grad()(Preview().__call__), partial(Preview()), by_another_pipeline]
)
@pytest.mark.parametrize("threshold", ["always", 0.0, 0.3])
def test_what_a_callback_calls_runs_uncached_and_changes_nothing(callback: Any, threshold: Any) -> None:
    pipe = tiny_pipeline("flux")
    with evolve(STATIC, reuse=Reuse(threshold)).apply(pipe) as cached:
        alone = call(pipe, 6)
        plain = len(cached.trace.steps(run=0))
        assert torch.equal(call(pipe, 6, callback_on_step_end=callback), alone)
        assert len(cached.trace.steps(run=1)) == plain
        (warning,) = cached.trace.warnings(run=1)
        assert warning.code == "uncached"
        by = "another pipeline" if callback is by_another_pipeline else "a callback made"
        assert by in warning.message


@pytest.mark.parametrize("where", ["before", "after", "block"])
def test_what_a_hook_calls_runs_uncached_and_changes_nothing(where: str) -> None:
    pipe = tiny_pipeline("flux")
    with STATIC.apply(pipe) as cached:
        alone = call(pipe, 6)
        busy: list[bool] = []

        def hook(*_: Any) -> None:
            if not busy:
                busy.append(True)
                with torch.no_grad():
                    pipe.transformer(**extra())
                busy.clear()

        module = pipe.transformer.transformer_blocks[0] if where == "block" else pipe.transformer
        handle = module.register_forward_hook(hook) if where == "after" else module.register_forward_pre_hook(hook)
        assert torch.equal(call(pipe, 6), alone)
        handle.remove()
        (warning,) = cached.trace.warnings(run=1)
        assert "that a hook inside the transformer's own call made" in warning.message
        assert torch.equal(call(pipe, 6), alone)


def test_a_pipeline_inside_the_pipelines_own_call_runs_uncached() -> None:
    class Refined(FluxPipeline):
        def encode_prompt(self, *args: Any, **kwargs: Any) -> Any:
            inner = FluxPipeline(**self.components)
            inner.set_progress_bar_config(disable=True)
            inner.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
            call(inner, 2)
            return super().encode_prompt(*args, **kwargs)

    pipe = tiny_pipeline("flux")
    pipe.__class__ = Refined
    plain = call(pipe, 6)
    with STATIC.apply(pipe) as cached:
        call(pipe, 6)
        assert outcomes(cached, stack="transformer_blocks") == "ccrrrr"
        assert "another pipeline that shares the transformer" in cached.summary().warnings[0]
    with evolve(STATIC, reuse=Reuse(0.0)).apply(pipe):
        assert torch.equal(call(pipe, 6), plain)


# Runs that were left


@pytest.mark.parametrize("prompt", [0, None])
@pytest.mark.parametrize("left", [1, 2])
def test_a_left_run_and_an_image_from_the_middle_of_the_schedule_do_not_mix(prompt: int | None, left: int) -> None:
    """With the same prompt, or another."""
    model = tiny_transformer("wan")

    def made(step: int, seed: int) -> dict[str, Any]:
        text = _text(1, "cond", seed if prompt is None else prompt)
        return {**inputs("wan", step, 10, seed=seed), "encoder_hidden_states": text, "return_dict": False}

    second = [made(step, 0) for step in range(4, 10)]
    with STATIC.apply(model, num_inference_steps=6), torch.no_grad():
        expected = [model(**given)[0] for given in second]
    with STATIC.apply(model, num_inference_steps=6) as cached, torch.no_grad():
        for step in range(left):
            model(**made(step, 5))
        assert all(torch.equal(model(**given)[0], alone) for given, alone in zip(second, expected, strict=True))
        assert [outcomes(cached, run=run) for run in (0, 1)] == ["c" * left, "ccrrrr"]
        assert [w.run for w in cached.trace.warnings()] == [0]


def test_a_sampler_that_draws_new_noise_is_told_the_way_out_and_then_understood() -> None:
    model = tiny_transformer("wan")

    def image(seed: int) -> None:
        for step in range(6):
            noise = _noise(1, 4, 2, 8, 8, seed=10 * seed + step, role=1)
            model(**{**inputs("wan", step, 6), "hidden_states": noise})

    with STATIC.apply(model, num_inference_steps=6) as cached, torch.no_grad():
        image(0)
        assert "with cached.run(steps=...)" in cached.trace.warnings()[0].message
        image(1)
        last = cached.summary().run
        assert outcomes(cached, run=last) == "ccrrrr"


@pytest.mark.parametrize("told", [4, 9])
def test_another_step_count_than_was_told(told: int) -> None:
    model = tiny_transformer("wan")
    plain = [model(**inputs("wan", step, 6), return_dict=False)[0] for step in range(6)]
    with STATIC.apply(model, num_inference_steps=told) as cached, torch.no_grad():
        for run in (0, 1):
            outputs = [model(**inputs("wan", step, 6), return_dict=False)[0] for step in range(6)]
            expected = "ccrr" if told == 4 else "ccrrrr"
            assert outcomes(cached, run=run) == expected
            assert all(torch.equal(a, b) for a, b in zip(outputs[told:], plain[told:], strict=True))
        cached.summary()
        warnings = [cached.trace.warnings(run=run) for run in (0, 1)]
    words = "tell the count that the loop has" if told == 4 else "if the loop has 6 steps, tell that count"
    assert all(len(found) == 1 and words in found[0].message for found in warnings)


# Other caches


def test_a_cache_that_is_switched_on_while_attached_is_refused_at_the_next_run() -> None:
    pipe = tiny_pipeline("flux")
    with evolve(STATIC, reuse=Reuse(0.0)).apply(pipe) as cached:
        plain = call(pipe, 4)
        pipe.transformer.enable_cache(FirstBlockCacheConfig(0.5))
        with pytest.raises(AlreadyAttached, match=r"diffusers' own cache.*disable_cache\(\) first"):
            call(pipe, 4)
        pipe.transformer.disable_cache()
        assert torch.equal(call(pipe, 4), plain)
        assert cached.attached
    model = tiny_transformer("flux")
    with STATIC.apply(model) as cached, torch.no_grad():
        model.enable_cache(FirstBlockCacheConfig(0.5))  # type: ignore[operator]
        with pytest.raises(AlreadyAttached), cached.run(steps=3):
            pass
    with pytest.raises(AlreadyAttached):
        STATIC.apply(model)
    model.disable_cache()  # type: ignore[operator]
    with STATIC.apply(model, num_inference_steps=3) as cached, torch.no_grad():
        model.enable_cache(FirstBlockCacheConfig(0.5))  # type: ignore[operator]
        with pytest.raises(AlreadyAttached), model.cache_context("cond"):  # type: ignore[operator]
            model(**inputs("flux", 0, 3))


def test_cache_dit_while_attached_is_refused_too() -> None:
    cache_dit = pytest.importorskip("cache_dit")
    pipe = tiny_pipeline("flux")
    plain = call(pipe, 4)
    cached = STATIC.apply(pipe)
    cache_dit.enable_cache(pipe)
    with pytest.raises(AlreadyAttached, match="cache-dit"):
        call(pipe, 4)
    cache_dit.disable_cache(pipe)
    call(pipe, 4)
    cached.remove()
    assert attached(pipe) is None
    assert torch.equal(call(pipe, 4), plain)
    cache_dit.enable_cache(pipe)
    with pytest.raises(AlreadyAttached, match="cache-dit"):
        STATIC.apply(pipe)
    cache_dit.disable_cache(pipe)
    STATIC.apply(pipe)
    cache_dit.enable_cache(pipe)
    cached = attached(pipe)
    assert cached is not None
    cached.remove()  # the other cache goes on, on this pipeline
    with STATIC.apply(tiny_pipeline("flux")) as cached:
        pipe = cached._session.pipeline
        call(pipe, 4)
        assert outcomes(cached, stack="transformer_blocks") == "ccrr"
