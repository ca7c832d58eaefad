"""Agreement with the caches that diffusers itself has, as hooks on a model's blocks, on bare tiny transformers.

They run in this process: a hook belongs to one model object. Which steps they compute is seen at a block in the middle.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from diffusers.hooks import (
    FirstBlockCacheConfig,
    MagCacheConfig,
    TaylorSeerCacheConfig,
    apply_first_block_cache,
    apply_mag_cache,
    apply_taylorseer_cache,
)
from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS
from torch import nn

from cachedsl import attached, load_policy
from cachedsl.language.masks import EveryMask, RunsMask
from cachedsl.language.parts import Cfg, Compute, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.ratios import Ratios
from cachedsl.measure.magnitude import calibrate_magnitude
from tests.tiny import inputs, tiny_transformer

STEPS = 20
FUSED = Cfg("fused")
SEEN_AT: dict[str, Callable[[Any], nn.Module]] = {
    "flux": lambda model: model.single_transformer_blocks[1].attn,
    "cogvideox": lambda model: model.transformer_blocks[2].attn1,
    "wan": lambda model: model.blocks[2].attn1,
}


def run(model: nn.Module, name: str, steps: int = STEPS) -> tuple[list[str], list[torch.Tensor]]:
    """Return what became of each step, seen from inside, and the outputs."""
    ran: list[int] = []
    outputs = []
    handle = SEEN_AT[name](model).register_forward_hook(lambda *_: ran.append(step))
    with torch.no_grad():
        for step in range(steps):
            with model.cache_context("cond"):  # type: ignore[operator]
                outputs.append(model(**inputs(name, step, steps), return_dict=False)[0])
    handle.remove()
    return ["computed" if step in ran else "reused" for step in range(steps)], outputs


def hooked(name: str, apply: Callable[[Any, Any], None], config: Any) -> tuple[list[str], list[torch.Tensor]]:
    model = tiny_transformer(name)
    apply(model, config)
    return run(model, name)


def own(name: str, policy: Policy) -> tuple[list[str], list[torch.Tensor], list[float | None]]:
    model = tiny_transformer(name)
    with policy.apply(model) as cached, cached.run(steps=STEPS):
        verdicts, outputs = run(model, name)
        values = [s.value for s in cached.trace.steps()]
    return verdicts, outputs, values


def agree(mine: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for a, b in zip(mine, theirs, strict=True):
        assert float((a - b).abs().max() / b.abs().max()) < 1e-5


def first_block(threshold: float) -> Policy:
    return Policy(compute=Compute(1, 0), span="joined", warmup=Warmup(1), reuse=Reuse(threshold), cfg=FUSED)


@pytest.mark.parametrize("threshold", [0.03, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("name", ["flux", "cogvideox", "wan"])
def test_first_block_cache(name: str, threshold: float) -> None:
    theirs, outputs = hooked(name, apply_first_block_cache, FirstBlockCacheConfig(threshold=threshold))
    mine, own_outputs, _ = own(name, first_block(threshold))
    assert mine == theirs
    assert theirs.count("reused") >= (0 if threshold < 0.1 else 2)
    agree(own_outputs, outputs)


@pytest.mark.parametrize("name", ["wan", "flux"])
def test_first_block_cache_per_context(name: str) -> None:
    """Two calls a step, each in the `cache_context` that pipelines give it: branches decide for themselves."""
    theirs, own_model = tiny_transformer(name), tiny_transformer(name)
    apply_first_block_cache(theirs, FirstBlockCacheConfig(threshold=0.2))
    policy = attrs.evolve(first_block(0.2), cfg=Cfg("separate"))
    with policy.apply(own_model) as cached, cached.run(steps=STEPS):
        mine, own_outputs = _run_branches(own_model, name)
        assert {b: [s.outcome for s in cached.trace.steps(branch=b)] for b in mine} == mine
    expected, outputs = _run_branches(theirs, name)
    assert mine == expected
    assert mine["cond"] != mine["uncond"]
    agree(own_outputs, outputs)


def _run_branches(model: nn.Module, name: str) -> tuple[dict[str, list[str]], list[torch.Tensor]]:
    verdicts: dict[str, list[str]] = {"cond": [], "uncond": []}
    outputs = []
    ran: list[str] = []
    handle = SEEN_AT[name](model).register_forward_hook(lambda *_: ran.append(branch))
    with torch.no_grad():
        for step, branch in itertools.product(range(STEPS), verdicts):
            ran.clear()
            with model.cache_context(branch):  # type: ignore[operator]
                outputs.append(model(**inputs(name, step, STEPS, branch), return_dict=False)[0])
            verdicts[branch].append("computed" if ran else "reused")
    handle.remove()
    return verdicts, outputs


def test_first_block_cache_needs_a_context_and_a_policy_does_not() -> None:
    model = tiny_transformer("flux")
    apply_first_block_cache(model, FirstBlockCacheConfig(threshold=0.2))
    with pytest.raises(ValueError, match="No cache context is set"):
        model(**inputs("flux", 0, STEPS))
    bare = tiny_transformer("flux")
    with first_block(0.2).apply(bare) as cached, cached.run(steps=STEPS):
        for step in range(STEPS):
            bare(**inputs("flux", step, STEPS))
        assert "reused" in [s.outcome for s in cached.trace.steps()]


def test_the_bundled_policy_is_that_cache_with_its_first_published_threshold() -> None:
    theirs, _ = hooked("flux", apply_first_block_cache, FirstBlockCacheConfig(threshold=0.08))
    assert own("flux", load_policy("fbcache"))[0] == theirs


def test_first_block_cache_reuses_at_equality_and_we_do_not() -> None:
    """Their test is `diff > threshold`; a signal below the threshold is what reuses here."""
    _, _, values = own("flux", first_block(1e9))
    at = next(v for v in values if v is not None)
    theirs, _ = hooked("flux", apply_first_block_cache, FirstBlockCacheConfig(threshold=at))
    mine, _, _ = own("flux", first_block(at))
    assert (theirs[1], mine[1]) == ("reused", "computed")


def magnitude(ratios: tuple[float, ...], threshold: float, longest: int, head: int) -> Policy:
    signal = Signal("magnitude", accumulate="until_compute", ratios=Ratios(ratios))
    return Policy(
        compute=Compute(0, 0),
        span="joined",
        warmup=Warmup(head),
        reuse=Reuse(threshold, signal, max_continuous=longest),
        cfg=FUSED,
    )


@pytest.mark.parametrize("threshold", [0.03, 0.061, 0.24])
@pytest.mark.parametrize("longest", [2, 5])
@pytest.mark.parametrize("name", ["wan", "cogvideox", "flux"])
def test_mag_cache(name: str, longest: int, threshold: float) -> None:
    """The published ratios, stretched to this step count by either side."""
    ratios = tuple(float(ratio) for ratio in FLUX_MAG_RATIOS)
    config = MagCacheConfig(threshold, longest, 0.1, STEPS, torch.tensor(ratios))
    theirs, outputs = hooked(name, apply_mag_cache, config)
    mine, own_outputs, _ = own(name, magnitude(ratios, threshold, longest, head=2))
    assert mine == theirs
    assert "reused" in mine
    agree(own_outputs, outputs)


def test_mag_cache_reuses_at_equality_and_we_do_not() -> None:
    ratios = (1.0, 1.0, 1.25) + (1.0,) * (STEPS - 3)  # the first error is 0.25, exact in floating point
    theirs, _ = hooked("wan", apply_mag_cache, MagCacheConfig(0.25, 5, 0.1, STEPS, torch.tensor(ratios)))
    mine, _, _ = own("wan", magnitude(ratios, 0.25, 5, head=2))
    assert (theirs[2], mine[2]) == ("reused", "computed")


def test_calibrated_ratios_are_those_of_diffusers(capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_transformer("wan")
    apply_mag_cache(model, MagCacheConfig(num_inference_steps=STEPS, calibrate=True))
    run(model, "wan")
    printed = capsys.readouterr().out
    theirs = [float(number) for number in printed[printed.rindex("[") + 1 : printed.rindex("]")].split(",")]
    fresh = tiny_transformer("wan")

    def call() -> None:
        cached = attached(fresh)
        assert cached is not None
        with cached.run(steps=STEPS):
            run(fresh, "wan")

    (row,) = (row for _, row in calibrate_magnitude(fresh, [call]).ratios.branches)
    assert row == pytest.approx(theirs, rel=1e-5)


def _taylorseer_computes(interval: int, head: int, after: int | None = None) -> list[int]:
    """Their hook skips inside the blocks, so it is seen at a projection of an attention that it wraps."""
    model = tiny_transformer("flux")
    config = TaylorSeerCacheConfig(
        cache_interval=interval, disable_cache_before_step=head, disable_cache_after_step=after
    )
    apply_taylorseer_cache(model, config)
    ran: list[int] = []
    model.transformer_blocks[0].attn.to_q.register_forward_hook(lambda *_: ran.append(step))  # type: ignore[index, union-attr]
    with torch.no_grad():
        for step in range(STEPS):
            with model.cache_context("cond"):  # type: ignore[operator]
                model(**inputs("flux", step, STEPS))
    return ran


def _computed(policy: Policy) -> list[int]:
    return [step for step, verdict in enumerate(own("flux", policy)[0]) if verdict == "computed"]


@pytest.mark.parametrize(("interval", "head", "after"), [(5, 3, None), (3, 2, None), (2, 4, 17), (6, 1, 18)])
def test_taylorseer_s_schedule(interval: int, head: int, after: int | None) -> None:
    """Which steps their hook computes is a static mask: head, one reused, then intervals."""
    runs = RunsMask([head, *[1] * STEPS], [1, *[interval - 1] * STEPS], "static")
    policy = Policy(
        compute=Compute(0, 0),
        warmup=Warmup(head),
        tail=0 if after is None else STEPS - after,
        reuse=Reuse("always"),
        steps=runs,
        cfg=FUSED,
    )
    assert _computed(policy) == _taylorseer_computes(interval, head, after)


@pytest.mark.parametrize(("interval", "head"), [(2, 3), (3, 3), (5, 4)])
def test_taylorseer_s_schedule_is_a_fixed_interval_but_for_its_first_reused_step(interval: int, head: int) -> None:
    """Their first reused step comes before the interval begins, where `every` with `from` computes all steps."""
    every = EveryMask(interval, head + 1, "static")
    policy = Policy(compute=Compute(0, 0), warmup=Warmup(head), reuse=Reuse("always"), steps=every, cfg=FUSED)
    assert _computed(policy) == sorted([*_taylorseer_computes(interval, head), head])
