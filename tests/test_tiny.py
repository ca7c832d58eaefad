"""The tiny models and pipelines that other tests stand on: deterministic, really sampling, and easy to cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.hooks import hooks as diffusers_hooks

from tests import tiny

STACKS = {
    "dit": ("transformer_blocks",),
    "flux": ("transformer_blocks", "single_transformer_blocks"),
    "qwenimage": ("transformer_blocks",),
    "wan": ("blocks",),
    "cogvideox": ("transformer_blocks",),
    "hunyuan_video": ("transformer_blocks", "single_transformer_blocks"),
}
HIDDEN_SECOND = ("flux", "qwenimage")  # blocks that return the encoder's stream first


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _contexts(pipe: Any, steps: int, monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> list[tuple[Any, ...]]:
    """Run the pipeline and return (context name, step index, step count) of each call, in order."""
    seen: list[tuple[Any, ...]] = []
    original = diffusers_hooks._set_cache_context

    def record(module: torch.nn.Module, context: Any) -> None:
        if context is not None:
            seen.append((context.name, context.step_index, context.num_inference_steps))
        original(module, context)

    monkeypatch.setattr(diffusers_hooks, "_set_cache_context", record)
    tiny.call(pipe, steps, **overrides)
    return seen


@pytest.mark.parametrize("name", tiny.PIPELINES)
def test_pipeline_is_deterministic(name: str) -> None:
    pipe = tiny.tiny_pipeline(name)
    first = tiny.call(pipe, 5, seed=3)
    assert torch.isfinite(first).all()
    assert first.std() > 0.01
    assert torch.equal(first, tiny.call(pipe, 5, seed=3))
    assert torch.equal(first, tiny.call(tiny.tiny_pipeline(name), 5, seed=3))
    assert not torch.equal(first, tiny.call(pipe, 5, seed=4))


@pytest.mark.parametrize("name", tiny.PIPELINES)
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_pipeline_calls_once_per_step_and_branch(name: str, steps: int) -> None:
    pipe = tiny.tiny_pipeline(name)
    calls: list[str] = []
    for part in ("transformer", "transformer_2"):
        model = getattr(pipe, part, None)
        if model is not None:
            model.register_forward_pre_hook(lambda _, __, part=part: calls.append(part))
    tiny.call(pipe, steps)
    branches = 2 if name in ("qwenimage", "wan", "wan22", "hunyuan_video") else 1
    assert len(calls) == steps * branches


def test_flux_true_guidance_doubles_the_calls_and_changes_the_result() -> None:
    pipe = tiny.tiny_pipeline("flux")
    calls: list[None] = []
    pipe.transformer.register_forward_pre_hook(lambda *_: calls.append(None))
    distilled = tiny.call(pipe, 4)
    assert len(calls) == 4
    guided = tiny.call(pipe, 4, true_cfg_scale=4.0)
    assert len(calls) == 4 + 8
    assert not torch.allclose(distilled, guided)


def test_both_transformers_of_wan22_run() -> None:
    pipe = tiny.tiny_pipeline("wan22")
    calls: list[int] = []
    pipe.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    pipe.transformer_2.register_forward_pre_hook(lambda *_: calls.append(2))
    tiny.call(pipe, 12)
    assert calls == sorted(calls)
    assert calls.count(1) == 14
    assert calls.count(2) == 10


@pytest.mark.parametrize(
    ("name", "overrides", "names", "indexed"),
    [
        ("flux", {}, ("cond",), False),
        ("flux", {"true_cfg_scale": 4.0}, ("cond", "uncond"), False),
        ("qwenimage", {}, ("cond", "uncond"), False),
        ("wan", {}, ("cond", "uncond"), True),
        ("wan", {"guidance_scale": 1.0}, ("cond",), True),
        ("wan22", {}, ("cond", "uncond"), True),
        ("cogvideox", {}, ("cond_uncond",), False),
        ("cogvideox", {"guidance_scale": 1.0}, ("cond_uncond",), False),
        ("hunyuan_video", {}, ("cond", "uncond"), False),
        ("hunyuan_video", {"true_cfg_scale": 1.0}, ("cond",), False),
        ("dit", {}, (), False),
    ],
)
def test_what_cache_context_tells(
    name: str, overrides: dict[str, Any], names: tuple[str, ...], indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wan alone gives index and count (the run's own, across both transformers); CogVideoX says one name always."""
    seen = _contexts(tiny.tiny_pipeline(name), 4, monkeypatch, **overrides)
    where = [(step, 4) if indexed else (None, None) for step in range(4)]
    assert seen == [(branch, *place) for place in where for branch in names]


def test_dit_samples_with_ddim_too() -> None:
    first = tiny.call(tiny.tiny_pipeline("dit", scheduler=tiny.ddim()), 6)
    assert torch.isfinite(first).all()
    assert first.std() > 0.01
    assert not torch.allclose(first, tiny.call(tiny.tiny_pipeline("dit"), 6))


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_inputs_follow_the_branch_and_the_step(name: str) -> None:
    model = tiny.tiny_transformer(name)
    outputs = {
        (branch, step): model(**tiny.inputs(name, step, 10, branch), return_dict=False)[0]
        for branch in ("cond", "uncond", "cond_uncond")
        for step in (0, 9)
    }
    for step in (0, 9):
        both = torch.cat([outputs["cond", step], outputs["uncond", step]])
        torch.testing.assert_close(outputs["cond_uncond", step], both)
        assert not torch.allclose(outputs["cond", step], outputs["uncond", step], atol=1e-3)
    assert not torch.allclose(outputs["cond", 0], outputs["cond", 9], atol=1e-2)


def test_blocks_are_counted_per_stack() -> None:
    flux = tiny.tiny_transformer("flux", blocks=(3, 5))
    assert (len(flux.transformer_blocks), len(flux.single_transformer_blocks)) == (3, 5)
    assert len(tiny.tiny_transformer("flux", blocks=14).single_transformer_blocks) == 14
    assert len(tiny.tiny_transformer("wan", blocks=7).blocks) == 7
    with pytest.raises(ValueError, match="zip"):
        tiny.tiny_transformer("wan", blocks=(1, 2))


def test_building_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    tiny.tiny_transformer("flux", seed=5)
    tiny.tiny_pipeline("dit", seed=5)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_front_residual_moves_slowly_but_visibly(name: str) -> None:
    """Thresholds of 0.05 and 0.1 separate the steps of a 20-step run, and the middle blocks matter."""
    model = tiny.tiny_transformer(name, blocks=8)
    for stack in STACKS[name]:
        previous, changes, weight = None, [], 0.0
        for step in range(20):
            entry, front, end = _tap(model, name, stack, step, front=4)
            residual = front - entry
            if previous is not None:
                changes.append(((residual - previous).abs().mean() / previous.abs().mean()).item())
            previous, weight = residual, ((end - front).abs().mean() / entry.abs().mean()).item()
        assert 0.01 < min(changes) < 0.06 < max(changes) < 0.3
        assert weight > 0.05


def _tap(model: torch.nn.Module, name: str, stack: str, step: int, front: int) -> tuple[torch.Tensor, ...]:
    """Return the hidden states at the entry of `stack`, behind its front blocks and at its end."""
    blocks = getattr(model, stack)
    caught: dict[str, torch.Tensor] = {}

    def enter(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught["entry"] = args[0] if args else kwargs["hidden_states"]

    def leave(key: str) -> Any:
        def hook(_: Any, __: Any, output: Any) -> None:
            caught[key] = output[name in HIDDEN_SECOND] if isinstance(output, tuple) else output

        return hook

    handles = [
        blocks[0].register_forward_pre_hook(enter, with_kwargs=True),
        blocks[front - 1].register_forward_hook(leave("front")),
        blocks[-1].register_forward_hook(leave("end")),
    ]
    model(**tiny.inputs(name, step, 20))
    for handle in handles:
        handle.remove()
    return caught["entry"], caught["front"], caught["end"]
