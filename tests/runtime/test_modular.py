"""diffusers' modular pipelines, which are assembled from steps and whose guider makes the calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.modular_pipelines.flux.modular_blocks_flux import FluxCoreDenoiseStep
from diffusers.modular_pipelines.wan.modular_blocks_wan import WanCoreDenoiseStep

from cachedsl import Policy
from cachedsl.language.parts import Compute, Reuse, Warmup
from tests.tiny import CHANNELS, LATENT, PIXELS, POOLED_DIM, TEXT_DIM, TEXT_TOKENS, tiny_pipeline

STEPS = 6
EXACT = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(0.0))
REUSING = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse("always", max_continuous=3))


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def modular(steps: type, name: str) -> Any:
    pipe = steps().init_pipeline()
    classic = tiny_pipeline(name)
    pipe.update_components(transformer=classic.transformer, scheduler=classic.scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def flux(pipe: Any) -> torch.Tensor:
    prompt = {"prompt_embeds": drawn(1, TEXT_TOKENS, TEXT_DIM), "pooled_prompt_embeds": drawn(1, POOLED_DIM)}
    return call(pipe, latents=None, **prompt)


def wan(pipe: Any) -> torch.Tensor:
    embeds = drawn(1, TEXT_TOKENS, TEXT_DIM)
    prompt = {"prompt_embeds": embeds, "negative_prompt_embeds": 0.5 * embeds}
    return call(pipe, latents=drawn(1, CHANNELS, 2, LATENT, LATENT), num_frames=5, **prompt)


def call(pipe: Any, **more: Any) -> torch.Tensor:
    sizes = {"height": PIXELS, "width": PIXELS, "num_inference_steps": STEPS}
    output: torch.Tensor = pipe(**sizes, generator=torch.Generator().manual_seed(3), output="latents", **more)
    return output


PIPES: dict[str, tuple[type, Callable[[Any], torch.Tensor], tuple[str, ...]]] = {
    "flux": (FluxCoreDenoiseStep, flux, ("cond",)),
    "wan": (WanCoreDenoiseStep, wan, ("cond", "uncond")),
}


@pytest.mark.parametrize("name", PIPES)
def test_a_modular_pipeline(name: str) -> None:
    steps, run, branches = PIPES[name]
    pipe = modular(steps, name)
    plain, cls = run(pipe), type(pipe)
    with EXACT.apply(pipe):
        assert torch.equal(run(pipe), plain)
    with REUSING.apply(pipe) as cached:
        reused = run(pipe)
        assert not torch.equal(reused, plain)
        assert torch.equal(run(pipe), reused)
        for stack in {s.stack for s in cached.trace.steps()}:
            for branch in branches:
                seen = cached.trace.steps(run=1, stack=stack, branch=branch)
                assert "".join(s.outcome[0] for s in seen) == "ccrrrc"
        assert {s.branch for s in cached.trace.steps()} == set(branches)
        assert not cached.trace.warnings()
        assert cached.held_bytes() == 0
    assert type(pipe) is cls
    assert torch.equal(run(pipe), plain)


def test_without_guidance_the_guider_makes_one_call_a_step() -> None:
    pipe = modular(WanCoreDenoiseStep, "wan")
    pipe.guider.disable()
    with REUSING.apply(pipe) as cached:
        wan(pipe)
        assert [s.outcome[0] for s in cached.trace.steps()] == list("ccrrrc")
        assert {s.branch for s in cached.trace.steps()} == {"cond"}
