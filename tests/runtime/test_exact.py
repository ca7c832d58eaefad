"""Threshold 0 is the uncached model, bit for bit, at every step; detaching leaves no trace."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from tests.tiny import PIPELINES, call, inputs, tiny_pipeline, tiny_transformer

STEPS = 6
EXACT = Policy(name="exact", compute=Compute(1, 1), warmup=Warmup(2), reuse=Reuse(threshold=0.0))
EAGER = Policy(name="eager", compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse(threshold="always"))
CALLS: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in PIPELINES]
CALLS += [("flux", {"true_cfg_scale": 3.0}), ("dit", {"guidance_scale": 1.0}), ("wan", {"guidance_scale": 1.0})]


def transformers(pipe: Any) -> list[nn.Module]:
    found = [getattr(pipe, name, None) for name in ("transformer", "transformer_2")]
    return [module for module in found if module is not None]


def run_and_watch(pipe: Any, **overrides: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Run the pipeline; return its result, and what its transformers returned at every call."""
    seen: list[torch.Tensor] = []

    def watch(module: nn.Module, args: Any, output: Any) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output.sample).clone())

    handles = [t.register_forward_hook(watch) for t in transformers(pipe)]
    try:
        return call(pipe, STEPS, **overrides), seen
    finally:
        for handle in handles:
            handle.remove()


def footprint(pipe: Any) -> list[Any]:
    """What an attachment might leave behind: keys of every `__dict__`, module names and classes, state dict keys."""
    facts: list[Any] = [sorted(pipe.__dict__), type(pipe)]
    for transformer in transformers(pipe):
        facts.append(list(transformer.state_dict()))
        for name, module in transformer.named_modules():
            hooks = (
                len(module._forward_hooks),
                len(module._forward_pre_hooks),
                len(module._forward_hooks_always_called),
            )
            facts.append((name, type(module), id(module), sorted(module.__dict__), hooks))
    return facts


@pytest.mark.parametrize(
    ("name", "overrides"), CALLS, ids=lambda v: v if isinstance(v, str) else "-".join(v) or "plain"
)
def test_threshold_zero_is_the_uncached_pipeline_at_every_step(name: str, overrides: dict[str, Any]) -> None:
    expected, expected_calls = run_and_watch(tiny_pipeline(name), **overrides)
    pipe = tiny_pipeline(name)
    with EXACT.apply(pipe) as cached:
        result, calls = run_and_watch(pipe, **overrides)
        assert all(step.outcome == "computed" for step in cached.trace.steps())
        assert len(cached.trace.steps()) >= STEPS
    assert torch.equal(result, expected)
    assert len(calls) == len(expected_calls)
    assert all(torch.equal(a, b) for a, b in zip(calls, expected_calls, strict=True))


@pytest.mark.parametrize("mode", ["fused", "separate"])
@pytest.mark.parametrize("name", ["dit", "flux", "qwenimage", "wan", "cogvideox"])
def test_threshold_zero_is_the_uncached_transformer(name: str, mode: Any) -> None:
    model = tiny_transformer(name)
    branches = ("cond", "uncond") if mode == "separate" else ("cond_uncond",)

    def drive() -> list[torch.Tensor]:
        with torch.no_grad():
            return [
                model(**inputs(name, i, STEPS, branch), return_dict=False)[0]
                for i in range(STEPS)
                for branch in branches
            ]

    expected = drive()
    policy = Policy(compute=Compute(1, 1), reuse=Reuse(threshold=0.0), cfg=Cfg(mode))
    with policy.apply(model, num_inference_steps=STEPS) as cached:
        result = drive()
        assert {step.branch for step in cached.trace.steps()} == set(branches)
        assert [s.step for s in cached.trace.steps(branch=branches[0], stack=cached.trace.steps()[0].stack)] == list(
            range(STEPS)
        )
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


@pytest.mark.parametrize("name", PIPELINES)
def test_remove_restores_everything(name: str) -> None:
    untouched = tiny_pipeline(name)
    pipe = copy.deepcopy(untouched)
    call(untouched, STEPS)
    lists = {n: m for t in transformers(pipe) for n, m in t.named_modules() if isinstance(m, nn.ModuleList)}
    state_keys = [list(t.state_dict()) for t in transformers(pipe)]

    cached = EAGER.apply(pipe)
    assert [list(t.state_dict()) for t in transformers(pipe)] == state_keys
    call(pipe, STEPS)
    assert any(step.outcome == "reused" for step in cached.trace.steps())
    assert [list(t.state_dict()) for t in transformers(pipe)] == state_keys
    cached.remove()

    def without_ids(facts: list[Any]) -> list[Any]:
        return [(f[0], f[1], *f[3:]) if isinstance(f, tuple) else f for f in facts]

    assert without_ids(footprint(pipe)) == without_ids(footprint(untouched))
    after = {n: m for t in transformers(pipe) for n, m in t.named_modules() if isinstance(m, nn.ModuleList)}
    assert all(after[n] is module for n, module in lists.items())
    assert torch.equal(call(pipe, STEPS), call(untouched, STEPS))
    cached.remove()  # a second time does nothing


@pytest.mark.parametrize("name", ["dit", "flux", "wan22"])
def test_weights_save_and_load_while_attached(name: str, tmp_path: Any) -> None:
    pipe = tiny_pipeline(name)
    with EAGER.apply(pipe):
        for i, transformer in enumerate(transformers(pipe)):
            transformer.save_pretrained(tmp_path / str(i))
            loaded = type(transformer).__mro__[1].from_pretrained(tmp_path / str(i))
            pairs = zip(loaded.state_dict().items(), transformer.state_dict().items(), strict=True)
            assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
            transformer.load_state_dict({k: torch.zeros_like(v) for k, v in transformer.state_dict().items()})
            assert all(bool((p == 0).all()) for p in transformer.parameters())


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("name", ["dit", "wan22"])
def test_copies_of_an_attached_pipeline_are_clean(name: str, clone: Any) -> None:
    pipe = tiny_pipeline(name)
    expected = call(tiny_pipeline(name), STEPS)
    with EAGER.apply(pipe) as cached:
        twin = clone(pipe)
        assert torch.equal(call(twin, STEPS), expected)
        assert len(cached.trace) == 0
        call(pipe, STEPS)
        assert len(cached.trace) > 0
    bare = tiny_pipeline(name)
    call(bare, STEPS)
    assert [type(m) for _, m in twin.transformer.named_modules()] == [
        type(m) for _, m in bare.transformer.named_modules()
    ]
    assert not twin.transformer._forward_hooks
    assert not twin.transformer._forward_pre_hooks


def test_slices_lengths_and_attributes_of_a_list_are_the_blocks_outside_of_a_forward() -> None:
    model = tiny_transformer("dit")
    blocks = list(model.transformer_blocks)
    with EAGER.apply(model, num_inference_steps=3):
        assert list(model.transformer_blocks) == blocks
        assert model.transformer_blocks[0] is blocks[0]
        assert type(model.transformer_blocks[1:]) is nn.ModuleList
        assert list(model.transformer_blocks[1:]) == blocks[1:]
        assert len(model.transformer_blocks) == len(blocks)
