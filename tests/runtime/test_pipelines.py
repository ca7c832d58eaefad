"""Real pipelines of two dozen families: exact at threshold 0, reused where the policy says, guidance as it is done."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from attrs import frozen
from diffusers import ClassifierFreeGuidance
from torch import nn

from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching.reading import match_transformer
from tests import tiny
from tests.pipelines import PIPELINES, call, hunyuan_image
from tests.zoo.base import noise

STEPS = 5
EXACT = Policy(name="exact", compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(0.0))
ALWAYS = Policy(name="always", compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse("always"))
BRANCHES = {"fused": {"cond_uncond"}, "separate": {"cond", "uncond"}}
GUIDER = {"pred_cond", "pred_uncond"}  # as diffusers' guiders name them
SEPARATE = [name for name, made in PIPELINES.items() if made.cfg == "separate" and made.off]
PAST_END = {"anyflow_far"}  # calls that cache keys and values behind a loop

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@frozen
class Heard:
    """One call of the transformer: its branch, what it was called with, and what it returned."""

    branch: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: torch.Tensor


def first(value: Any) -> torch.Tensor:
    """Return the first tensor of a transformer's output."""
    while not isinstance(value, torch.Tensor):
        value = value[0]
    return value


def listen(pipe: Any, cached: Any) -> tuple[list[Heard], list[Any]]:
    """Write down every call of the transformer, from now on until the handles are removed."""
    heard: list[Heard] = []
    asked: list[Any] = []

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        asked.append(copy.deepcopy((args, kwargs)))

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        branch = cached.trace.steps()[-1].branch
        heard.append(Heard(branch, *asked.pop(), first(output).clone()))

    handles = [
        pipe.transformer.register_forward_pre_hook(before, with_kwargs=True),
        pipe.transformer.register_forward_hook(after, with_kwargs=True),
    ]
    return heard, handles


def count_blocks(pipe: Any, cached: Any) -> tuple[Counter[str], list[Any]]:
    """Count the executions of every block of the stacks that the adapter names."""
    counts: Counter[str] = Counter()
    handles = []
    for path in {stack.shape.name for stack in cached.plan(STEPS).stacks}:
        for block in pipe.transformer.get_submodule(path):
            handles.append(block.register_forward_hook(lambda *_, path=path: counts.update([path])))
    return counts, handles


def outcomes(cached: Any, run: int, **where: Any) -> dict[tuple[str, str, int], str]:
    """Return what became of each step in the loop, `c` or `r`, by stack, branch and loop."""
    found: dict[tuple[str, str, int], str] = {}
    for step in cached.trace.steps(run=run, **where):
        key = (step.stack, step.branch, step.loop)
        assert step.transformer == "transformer"
        found[key] = found.get(key, "") + step.outcome[0]
    return found


def by_branch(cached: Any, run: int = 0) -> dict[str, set[tuple[str, tuple[int, ...]]]]:
    """Return the outcomes that the stacks of each branch had, with the indices of their steps."""
    found: dict[str, set[tuple[str, tuple[int, ...]]]] = {}
    for branch in dict.fromkeys(s.branch for s in cached.trace.steps(run=run)):
        records = cached.trace.steps(run=run, branch=branch)
        for stack in {s.stack for s in records}:
            of_stack = [s for s in records if s.stack == stack]
            kinds = "".join(s.outcome[0] for s in of_stack)
            found.setdefault(branch, set()).add((kinds, tuple(s.step for s in of_stack)))
    return found


def assert_exact(name: str, **overrides: Any) -> None:
    pipe = PIPELINES[name].build()
    expected = call(pipe, name, STEPS, **overrides)
    cached = EXACT.apply(pipe)
    assert torch.equal(call(pipe, name, STEPS, **overrides), expected)
    assert {step.outcome for step in cached.trace.steps()} == {"computed"}
    cached.remove()
    assert torch.equal(call(pipe, name, STEPS, **overrides), expected)


def assert_branches_as_if_alone(name: str, **overrides: Any) -> None:
    """Call a bare transformer with one branch's arguments after the other: what it returns is what it returned."""
    pipe = PIPELINES[name].build()
    with ALWAYS.apply(pipe) as cached:
        heard, handles = listen(pipe, cached)
        call(pipe, name, STEPS, **overrides)
        for handle in handles:
            handle.remove()
    alone = Policy(compute=ALWAYS.compute, warmup=ALWAYS.warmup, reuse=ALWAYS.reuse, cfg=Cfg("fused"))
    for branch in {each.branch for each in heard}:
        calls = [each for each in heard if each.branch == branch]
        with alone.apply(pipe.transformer) as cached, torch.no_grad(), cached.run(steps=STEPS):
            for each in calls:
                assert torch.equal(first(pipe.transformer(*each.args, **each.kwargs)), each.output), branch
            assert any(step.outcome == "reused" for step in cached.trace.steps())


@pytest.mark.parametrize("name", PIPELINES)
def test_threshold_zero_is_the_uncached_pipeline(name: str) -> None:
    assert_exact(name)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_branch_reuses_from_the_second_step_on(name: str) -> None:
    made = PIPELINES[name]
    pipe = made.build()
    plain = call(pipe, name, STEPS)
    with ALWAYS.apply(pipe) as cached:
        result = call(pipe, name, STEPS)
        counts, handles = count_blocks(pipe, cached)
        assert torch.equal(call(pipe, name, STEPS), result)
        for handle in handles:
            handle.remove()
        assert cached.held_bytes() == 0
        assert not cached.trace.warnings()
        assert cached.summary().blocks_run == sum(counts.values())
        assert cached.summary().blocks_run < cached.summary().blocks
        found = outcomes(cached, run=1)
        assert found == outcomes(cached, run=0)
        assert {s.step for s in cached.trace.steps() if s.outcome == "reused"} == {2, 3, 4}
    expected = GUIDER if name == "hunyuan_image" else BRANCHES[made.cfg]
    assert {branch for _, branch, _ in found} == expected
    assert {loop for *_, loop in found} == set(range(made.loops))
    assert {kinds[:STEPS] for kinds in found.values()} == {"ccrrr"}
    behind = {kinds[STEPS:] for kinds in found.values()}
    assert behind == ({"", "c"} if name in PAST_END else {""})
    assert not torch.equal(result, plain)


@pytest.mark.parametrize("name", [name for name, made in PIPELINES.items() if made.loops == 1])
def test_every_branch_returns_what_it_would_alone(name: str) -> None:
    assert_branches_as_if_alone(name)


def test_two_dozen_families_and_both_ways_of_guidance() -> None:
    adapters = {made.adapter for made in PIPELINES.values()} | set(tiny.FAMILIES)
    assert len(adapters) >= 24
    assert {made.cfg for made in PIPELINES.values()} == {"fused", "separate"}


@pytest.mark.parametrize("name", PIPELINES)
def test_the_adapter_declares_what_the_pipeline_does(name: str) -> None:
    transformer = PIPELINES[name].build().transformer
    adapter = match_transformer([cls.__name__ for cls in type(transformer).__mro__])
    assert adapter is not None
    assert adapter.cfg == PIPELINES[name].cfg


# What guidance really does


@pytest.mark.parametrize("name", SEPARATE)
def test_without_guidance_there_is_one_branch(name: str) -> None:
    off = PIPELINES[name].off
    assert_exact(name, **off)
    pipe = PIPELINES[name].build()
    with ALWAYS.apply(pipe) as cached:
        call(pipe, name, STEPS, **off)
        found = outcomes(cached, run=0)
        assert not cached.trace.warnings()
    assert {branch for _, branch, _ in found} == {"cond"}
    assert set(found.values()) == {"ccrrr"}


@pytest.mark.parametrize(("scale", "branches"), [(1.0, {"cond"}), (4.0, {"cond", "uncond"})])
@pytest.mark.parametrize("name", ["framepack", "hunyuan_video"])
def test_true_guidance_on_top_of_distilled_guidance_is_a_second_branch(
    name: str, scale: float, branches: set[str]
) -> None:
    pipe = PIPELINES[name].build() if name in PIPELINES else tiny.tiny_pipeline(name)
    assert pipe.transformer.config.guidance_embeds
    with ALWAYS.apply(pipe) as cached:
        if name in PIPELINES:
            call(pipe, name, STEPS, true_cfg_scale=scale)
        else:
            tiny.call(pipe, STEPS, true_cfg_scale=scale)
        found = outcomes(cached, run=0)
        assert not cached.trace.warnings()
    assert {branch for _, branch, _ in found} == branches
    assert set(found.values()) == {"ccrrr"}


SKIP_LAYERS = {"skip_guidance_layers": [2], "skip_layer_guidance_stop": 0.7}  # steps 1 to 3 of 5


def test_calls_that_skip_layers_are_a_branch_of_their_own() -> None:
    assert_exact("sd3", **SKIP_LAYERS)
    assert_branches_as_if_alone("sd3", **SKIP_LAYERS)
    pipe = PIPELINES["sd3"].build()
    with ALWAYS.apply(pipe) as cached:
        without, with_calls = call(pipe, "sd3", STEPS), call(pipe, "sd3", STEPS, **SKIP_LAYERS)
        assert not torch.equal(without, with_calls)
        main = [
            [(s.step, s.outcome, s.reason, s.blocks_run) for s in cached.trace.steps(run=run, branch="cond_uncond")]
            for run in (0, 1)
        ]
        assert main[0] == main[1]
        assert by_branch(cached, run=1)["branch_2"] == {("ccr", (1, 2, 3))}
        assert [w.code for w in cached.trace.warnings()] == ["calls-differ"]
        assert "branch_2 was called on 3 steps" in cached.trace.warnings()[0].message


def test_guidance_that_ends_early_leaves_the_other_branch_as_it_is() -> None:
    early = {"cfg_trunc_ratio": 0.6}
    assert_exact("lumina2", **early)
    assert_branches_as_if_alone("lumina2", **early)
    pipe = PIPELINES["lumina2"].build()
    with ALWAYS.apply(pipe) as cached:
        call(pipe, "lumina2", STEPS, **early)
        assert by_branch(cached) == {"cond": {("ccrrr", (0, 1, 2, 3, 4))}, "uncond": {("ccr", (0, 1, 2))}}
        assert [w.code for w in cached.trace.warnings()] == ["calls-differ"]
        assert "uncond was called on 3 steps" in cached.trace.warnings()[0].message


def test_a_guider_that_guides_an_interval_of_steps() -> None:
    pipe = hunyuan_image(ClassifierFreeGuidance(guidance_scale=4.0, start=0.2, stop=0.8))
    expected = call(pipe, "hunyuan_image", STEPS)
    with EXACT.apply(pipe) as cached:
        assert torch.equal(call(pipe, "hunyuan_image", STEPS), expected)
    with ALWAYS.apply(pipe) as cached:
        call(pipe, "hunyuan_image", STEPS)
        assert by_branch(cached) == {"pred_cond": {("ccrrr", (0, 1, 2, 3, 4))}, "pred_uncond": {("ccr", (1, 2, 3))}}
        assert [w.code for w in cached.trace.warnings()] == ["calls-differ"]
    pipe.guider = ClassifierFreeGuidance(guidance_scale=4.0, enabled=False)
    with ALWAYS.apply(pipe) as cached:
        call(pipe, "hunyuan_image", STEPS)
        assert by_branch(cached) == {"pred_cond": {("ccrrr", (0, 1, 2, 3, 4))}}
        assert not cached.trace.warnings()


def test_a_batch_that_shrinks_when_fused_guidance_ends_is_computed_once() -> None:
    early = {"cfg_truncation": 0.15}  # the last three steps
    assert_exact("z_image", **early)
    pipe = PIPELINES["z_image"].build()
    with ALWAYS.apply(pipe) as cached:
        assert torch.equal(call(pipe, "z_image", STEPS, **early), call(pipe, "z_image", STEPS, **early))
        steps = cached.trace.steps(run=1, stack="layers")
        assert [s.reason for s in steps] == ["no_history", "warmup", "shape_changed", "static", "static"]
        assert set(outcomes(cached, run=1).values()) == {"cccrr"}
        assert not cached.trace.warnings()


def test_a_call_behind_a_loop_is_computed_in_full() -> None:
    pipe = PIPELINES["anyflow_far"].build()
    with ALWAYS.apply(pipe) as cached:
        call(pipe, "anyflow_far", STEPS)
        behind = [s for s in cached.trace.steps() if s.step == STEPS]
    assert {s.loop for s in behind} == {0, 1}
    assert all(s.reason == "past_end" and s.blocks_run == s.blocks for s in behind)


def test_calls_before_the_loop_are_computed_in_full() -> None:
    given = {"video_latents": noise(1, 2, 4, 8, 8, role=3)}  # two chunks, whose keys and values are cached first
    assert_exact("anyflow_far", **given)
    pipe = PIPELINES["anyflow_far"].build()
    with ALWAYS.apply(pipe) as cached:
        assert torch.equal(call(pipe, "anyflow_far", STEPS, **given), call(pipe, "anyflow_far", STEPS, **given))
        for run in (0, 1):
            before = [s for s in cached.trace.steps(run=run) if s.loop == 0]
            assert len(before) == 2
            assert all(s.blocks_run == s.blocks for s in before)
            assert outcomes(cached, run=run)["blocks", "cond_uncond", 1] == "ccrrr"


# SkyReels V2's diffusion forcing steps copies of its scheduler

STAGGERED = {"ar_step": 2, "causal_block_size": 1, "num_frames": 13, "base_num_frames": 13}  # 5 + 3 * 2 steps
LONG = {"overlap_history": 1, "num_frames": 13, "base_num_frames": 5}  # three loops of 5 steps


@pytest.mark.parametrize("overrides", [STAGGERED, LONG], ids=["staggered", "long"])
def test_threshold_zero_is_the_uncached_diffusion_forcing(overrides: dict[str, Any]) -> None:
    assert_exact("skyreels_forcing", **overrides)


def test_staggered_frames_are_reused_to_the_end() -> None:
    pipe = PIPELINES["skyreels_forcing"].build()
    with ALWAYS.apply(pipe) as cached:
        call(pipe, "skyreels_forcing", STEPS, **STAGGERED)
        assert pipe._num_timesteps == 11
        assert "past_end" not in {s.reason for s in cached.trace.steps()}
        assert not cached.trace.warnings()


def test_every_loop_of_a_long_video_is_cached() -> None:
    pipe = PIPELINES["skyreels_forcing"].build()
    with ALWAYS.apply(pipe) as cached:
        call(pipe, "skyreels_forcing", STEPS, **LONG)
        found = outcomes(cached, run=0)
        assert {loop for *_, loop in found} == {0, 1, 2}
        assert set(found.values()) == {"ccrrr"}
        assert not cached.trace.warnings()
