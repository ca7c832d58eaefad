"""Blocks that decide for themselves: Dynamic Block Prune, and back blocks on reused steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cachedsl.language.parts import Cfg, Compute, Dynamic, Predict, Prune, Reuse, Warmup
from cachedsl.language.policy import Policy
from tests.runtime.test_reuse import NAMES, count_blocks
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

STEPS = 8


def prune(threshold: Any, front: int = 1, back: int = 1, predict: Predict = Predict(), **more: Any) -> Policy:
    return Policy(
        compute=Compute(front, back),
        warmup=Warmup(2),
        reuse=Reuse(threshold=threshold),
        predict=predict,
        prune=Prune(**more),
        cfg=Cfg("fused"),
    )


def run(
    model: Any, name: str, policy: Policy, *, fixed: bool = False, steps: int = STEPS
) -> tuple[list[torch.Tensor], Any]:
    with policy.apply(model, num_inference_steps=steps) as cached, torch.no_grad():
        seen = [model(**inputs(name, 1 if fixed else i, steps), return_dict=False)[0] for i in range(steps)]
    return seen, cached


@pytest.mark.parametrize("name", NAMES)
def test_threshold_zero_is_the_uncached_model(name: str) -> None:
    model = tiny_transformer(name)
    with torch.no_grad():
        expected = [model(**inputs(name, i, STEPS), return_dict=False)[0] for i in range(STEPS)]
    seen, _ = run(model, name, prune(0.0))
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


@pytest.mark.parametrize("predict", [Predict(), Predict("taylor", 1)], ids=["copy", "taylor"])
@pytest.mark.parametrize("name", NAMES)
def test_stationary_input_prunes_everything_and_changes_nothing(name: str, predict: Predict) -> None:
    model = tiny_transformer(name)
    counts, handles = count_blocks(model)
    seen, cached = run(model, name, prune(1e-3, predict=predict), fixed=True)
    for handle in handles:
        handle.remove()
    scale = seen[0].abs().max()
    assert all(float((o - seen[0]).abs().max() / scale) < 1e-4 for o in seen)
    for key, count in counts.items():
        path, index = key.rsplit(".", 1)
        edge = index in ("0", str(len(model.get_submodule(path)) - 1))
        assert count == (STEPS if edge else 2), key
    assert {s.outcome for s in cached.trace.steps() if s.step >= 2} == {"reused"}


def test_each_block_is_measured_by_its_own_input_since_it_last_ran() -> None:
    model = tiny_transformer("dit")
    entries: dict[int, torch.Tensor] = {}
    expected: dict[tuple[int, int], float] = {}
    step = 0

    def watch(index: int, hidden: torch.Tensor) -> None:
        if index in entries:
            expected[step, index] = float((hidden - entries[index]).abs().mean() / entries[index].abs().mean())
        entries[index] = hidden.clone()

    handles = [
        block.register_forward_pre_hook(lambda _, args, i=i: watch(i, args[0]))
        for i, block in enumerate(model.transformer_blocks)
    ]
    with prune(1e-9, back=0).apply(model, num_inference_steps=4) as cached, torch.no_grad():
        for step in range(4):
            model(**inputs("dit", step, 4))
        for record in cached.trace.steps():
            for unit in record.units:
                if unit.value is not None:
                    assert unit.value == pytest.approx(expected[record.step, unit.unit + 1], rel=1e-6)
        assert sum(u.value is not None for r in cached.trace.steps() for u in r.units) == 2 * (len(handles) - 1)
    for handle in handles:
        handle.remove()


def test_a_middling_threshold_prunes_some_blocks_of_a_step() -> None:
    mixed: list[set[str]] = []
    for threshold in (0.03, 0.08):
        _, cached = run(tiny_transformer("flux", blocks=6), "flux", prune(threshold), steps=20)
        mixed += [{u.outcome for u in s.units} for s in cached.trace.steps() if s.step >= 2]
    assert {"computed", "reused"} in mixed


def test_a_dynamic_threshold_prunes_more() -> None:
    model = tiny_transformer("flux", blocks=6)
    blocks = {}
    for name, dynamic in (("fixed", None), ("dynamic", Dynamic(relax=3.0, max=0.5))):
        _, cached = run(model, "flux", prune(0.03, dynamic=dynamic), steps=20)
        blocks[name] = cached.summary().blocks_run
    assert blocks["dynamic"] < blocks["fixed"]


def test_kept_blocks_always_run() -> None:
    model = tiny_transformer("dit")
    counts, handles = count_blocks(model)
    run(model, "dit", prune(1e6, keep=(2,)))
    for handle in handles:
        handle.remove()
    assert counts["transformer_blocks.2"] == STEPS
    assert counts["transformer_blocks.1"] == 2


def test_update_interval_keeps_what_a_block_is_reused_with() -> None:
    model = tiny_transformer("dit")
    values = {}
    for interval in (1, 3):
        _, cached = run(model, "dit", prune(1e-9, update_interval=interval))
        values[interval] = [s.units[0].value for s in cached.trace.steps()]
    assert values[1][2] != values[3][2]  # step 1 did not replace the reference, so step 2 is measured against step 0
    assert values[3][3] is not None
    assert values[1][4] == values[3][4]  # both replaced it on step 3


def test_a_pruned_pipeline_runs_with_separate_branches() -> None:
    pipe = tiny_pipeline("wan")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold=1e6), prune=Prune())
    with policy.apply(pipe) as cached:
        first, second = call(pipe, 6), call(pipe, 6)
        assert {s.branch for s in cached.trace.steps()} == {"cond", "uncond"}
        assert cached.held_bytes() == 0
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("threshold", "runs"), [(0.0, True), (1e6, False)])
def test_back_blocks_that_are_not_listed_decide_on_reused_steps(name: str, threshold: float, runs: bool) -> None:
    model = tiny_transformer(name)
    counts, handles = count_blocks(model)
    compute = Compute(1, 2, back_blocks=(1,), back_threshold=threshold)
    policy = Policy(compute=compute, warmup=Warmup(2), reuse=Reuse(threshold="always"), cfg=Cfg("fused"))
    _, cached = run(model, name, policy)
    for handle in handles:
        handle.remove()
    for path in {key.rsplit(".", 1)[0] for key in counts}:
        last = len(model.get_submodule(path)) - 1
        if last < 3:
            continue
        assert counts[f"{path}.{last}"] == STEPS
        assert counts[f"{path}.{last - 1}"] == (STEPS if runs else 2)
        assert counts[f"{path}.1"] == 2
    reasons = {u.reason for s in cached.trace.steps() if s.step >= 2 for u in s.units}
    assert ("back_above" if runs else "back_below") in reasons


def test_back_blocks_measure_in_stationary_runs_and_change_nothing() -> None:
    model = tiny_transformer("dit")
    compute = Compute(1, 2, back_blocks=(), back_threshold=0.01)
    policy = Policy(compute=compute, warmup=Warmup(1), reuse=Reuse(threshold=0.01), cfg=Cfg("fused"))
    seen, cached = run(model, "dit", policy, fixed=True)
    assert all(torch.allclose(o, seen[0], atol=1e-5) for o in seen)
    assert {u.reason for u in cached.trace.steps()[-1].units} == {"below", "back_below"}
