"""Signals on real models, against the recurrences that their papers print, written out once more here.

The inputs of a bare model do not depend on what it returned, so what a published method would see on every step can be
had from the uncached model, and its decisions follow from the paper's formula alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import attrs
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from cachedsl import PolicyError, load_policy
from cachedsl.language.parts import Cfg, Compute, Predict, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.ratios import Ratios
from cachedsl.matching.adapter import InputAdapter
from cachedsl.runtime.errors import ClockUnavailable
from cachedsl.runtime.model_io import model_input
from cachedsl.signals import StepView
from cachedsl.signals.filtered_latent import NoGrid, filtered_latent
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

STEPS = 16
FUSED = Cfg("fused")


def relative_l1(now: torch.Tensor, before: torch.Tensor) -> float:
    return float((now - before).abs().mean() / before.abs().mean())


def horner(coefficients: Sequence[float], x: float) -> float:
    value = 0.0
    for c in coefficients:
        value = value * x + c
    return value


def teacache(
    inputs_: Sequence[torch.Tensor], coefficients: Sequence[float], threshold: float, head: int, tail: int
) -> list[str]:
    """TeaCache, eq. 6 to 8: accumulate the rescaled distance of consecutive modulated inputs, compute at the threshold."""
    verdicts, total = [], 0.0
    for t in range(len(inputs_)):
        if t < head or t >= len(inputs_) - tail:
            verdicts.append("computed")
            total = 0.0
            continue
        total += horner(coefficients, relative_l1(inputs_[t], inputs_[t - 1]))
        if total < threshold:
            verdicts.append("reused")
        else:
            verdicts.append("computed")
            total = 0.0
    return verdicts


def easycache(
    x: Sequence[torch.Tensor], v: Sequence[torch.Tensor], threshold: float, head: int, tail: int
) -> list[str]:
    """EasyCache, eq. 5 to 8: the change that k, the rate of the last computed step, predicts from the inputs' change."""
    verdicts, total = [], 0.0
    k: float | None = None
    last: int | None = None
    for t in range(len(x)):
        compute = t < head or t >= len(x) - tail or k is None
        if not compute:
            assert k is not None
            assert last is not None
            total += k * float((x[t] - x[t - 1]).abs().mean()) / float(v[last].abs().mean())
            compute = total >= threshold
        if compute:
            if last is not None:
                k = float((v[t] - v[last]).abs().mean()) / float((x[t] - x[last]).abs().mean())
            last, total = t, 0.0
        verdicts.append("computed" if compute else "reused")
    return verdicts


def magcache(ratios: Sequence[float], threshold: float, longest: int, head: int) -> list[str]:
    """MagCache, algorithm 1: sum the error of the ratios' running product, and bound the length of a run."""
    verdicts, product, error, run = [], 1.0, 0.0, 0
    for t, ratio in enumerate(ratios):
        if t >= head:
            product, run = product * ratio, run + 1
            error += abs(1 - product)
            if error < threshold and run <= longest:
                verdicts.append("reused")
                continue
        verdicts.append("computed")
        product, error, run = 1.0, 0.0, 0
    return verdicts


def uncached(name: str, watch: Callable[[nn.Module], nn.Module] | None = None) -> tuple[list[Any], list[torch.Tensor]]:
    """Return what the watched module returned, and what the model did, at every step without a policy."""
    model = tiny_transformer(name)
    seen: list[Any] = []
    if watch is not None:
        watch(model).register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.no_grad():
        outputs = [model(**inputs(name, step, STEPS), return_dict=False)[0] for step in range(STEPS)]
    return seen, outputs


def run(name: str, policy: Policy) -> tuple[list[str], list[float | None], list[torch.Tensor]]:
    model = tiny_transformer(name)
    with policy.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        outputs = [model(**inputs(name, step, STEPS), return_dict=False)[0] for step in range(STEPS)]
        steps = cached.trace.steps()
    assert len({s.stack for s in steps}) == 1
    return [s.outcome for s in steps], [s.value for s in steps], outputs


def first(outputs: Sequence[Any]) -> list[torch.Tensor]:
    return [output[0] for output in outputs]


def wan_projection(model: nn.Module) -> nn.Module:
    return model.condition_embedder.time_proj  # type: ignore[no-any-return, union-attr]


MODULATED: dict[str, tuple[Callable[[nn.Module], nn.Module], Callable[[Sequence[Any]], list[torch.Tensor]]]] = {
    "flux": (lambda m: m.transformer_blocks[0].norm1, first),  # type: ignore[index, union-attr, return-value]
    "hunyuan_video": (lambda m: m.transformer_blocks[0].norm1, first),  # type: ignore[index, union-attr, return-value]
    "cogvideox": (lambda m: m.transformer_blocks[0].norm1, first),  # type: ignore[index, union-attr, return-value]
    "dit": (lambda m: m.transformer_blocks[0].norm1, first),  # type: ignore[index, union-attr, return-value]
    "wan": (wan_projection, list),
}


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("coefficients", [(1.0, 0.0), (-3.0, 4.0, 0.7, 0.01)])
@pytest.mark.parametrize("name", MODULATED)
def test_modulated_input_decides_as_teacache_does(name: str, coefficients: tuple[float, ...], threshold: float) -> None:
    seen, outputs = uncached(name, MODULATED[name][0])
    expected = teacache(MODULATED[name][1](seen), coefficients, threshold, head=1, tail=1)
    policy = Policy(
        compute=Compute(0, 0),
        span="joined",
        warmup=Warmup(1),
        tail=1,
        reuse=Reuse(
            threshold=threshold,
            signal=Signal("modulated_input", "previous_step", rescale=coefficients, accumulate="until_compute"),
        ),
        cfg=FUSED,
    )
    verdicts, values, cached = run(name, policy)
    assert verdicts == expected
    assert all(value is None or value < threshold for value, v in zip(values, verdicts, strict=True) if v == "reused")
    for step, verdict in enumerate(verdicts):
        if verdict == "computed":
            assert torch.equal(cached[step], outputs[step])


def test_the_teacache_thresholds_above_make_a_difference() -> None:
    patterns = set()
    for name, (watch, take) in MODULATED.items():
        seen, _ = uncached(name, watch)
        for threshold in (0.05, 0.2, 0.6):
            patterns.add(tuple(teacache(take(seen), (1.0, 0.0), threshold, 1, 1)))
    assert len(patterns) > 4


@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("head", [1, 4])
@pytest.mark.parametrize("name", ["flux", "wan", "dit", "cogvideox", "hunyuan_video"])
def test_transform_rate_decides_as_easycache_does(name: str, head: int, threshold: float) -> None:
    _, outputs = uncached(name)
    x = [inputs(name, step, STEPS)["hidden_states"] for step in range(STEPS)]
    expected = easycache(x, outputs, threshold, head, tail=1)
    policy = Policy(
        compute=Compute(0, 0),
        span="joined",
        warmup=Warmup(head),
        tail=1,
        reuse=Reuse(threshold=threshold, signal="transform_rate"),
        cfg=FUSED,
    )
    verdicts, _, _ = run(name, policy)
    assert verdicts == expected
    assert threshold < 0.4 or "reused" in verdicts


@pytest.mark.parametrize("threshold", [0.03, 0.1, 0.3])
@pytest.mark.parametrize("longest", [2, 5])
def test_magnitude_decides_as_magcache_does(threshold: float, longest: int) -> None:
    ratios = tuple(1 + 0.15 * (0.7**step) * (-1) ** (step // 3) for step in range(STEPS))
    policy = Policy(
        compute=Compute(0, 0),
        span="joined",
        warmup=Warmup(3),
        reuse=Reuse(
            threshold=threshold,
            max_continuous=longest,
            signal=Signal("magnitude", accumulate="until_compute", ratios=Ratios(ratios)),
        ),
        cfg=FUSED,
    )
    verdicts, _, _ = run("flux", policy)
    assert verdicts == magcache(ratios, threshold, longest, head=3)
    assert "reused" in verdicts


def test_each_branch_has_the_ratios_that_were_calibrated_for_it() -> None:
    ratios = Ratios(branches=(("cond", (1.0,) * 8), ("uncond", (1.0,) + (2.0,) * 7)))
    policy = Policy(
        compute=Compute(0, 0),
        warmup=Warmup(1),
        reuse=Reuse(threshold=0.1, signal=Signal("magnitude", accumulate="until_compute", ratios=ratios)),
    )
    pipe = tiny_pipeline("wan")
    with policy.apply(pipe) as cached:
        call(pipe, 8)
        assert [s.outcome for s in cached.trace.steps(branch="cond")] == ["computed"] + ["reused"] * 7
        assert {s.outcome for s in cached.trace.steps(branch="uncond")} == {"computed"}


@pytest.mark.parametrize("threshold", [0.1, 0.4, 1.0])
def test_the_probe_decides_and_aligns_as_dicache_does(threshold: float) -> None:
    """DiCache, eq. 7 to 10, with one front block as the probe."""
    model = tiny_transformer("dit")
    probes: list[tuple[torch.Tensor, torch.Tensor]] = []
    model.transformer_blocks[0].register_forward_hook(lambda m, args, output: probes.append((args[0], output)))
    ends: list[torch.Tensor] = []
    model.transformer_blocks[-1].register_forward_hook(lambda m, args, output: ends.append(output))
    with torch.no_grad():
        for step in range(STEPS):
            model(**inputs("dit", step, STEPS))
    total, verdicts, window, expected = 0.0, [], [], []
    for t, (entry, after) in enumerate(probes):
        compute = t < 3
        if not compute:
            total += relative_l1(after, probes[t - 1][1])
            compute = total >= threshold
        if compute:
            total = 0.0
            window = [*window[-1:], (ends[t] - after, after - entry)]
            expected.append(ends[t])
        else:
            (older, older_probe), (newest, newest_probe) = window
            gain = (after - entry - older_probe).abs().mean() / (newest_probe - older_probe).abs().mean()
            expected.append(after + older + gain.clamp(1.0, 1.5) * (newest - older))
        verdicts.append("computed" if compute else "reused")
    policy = Policy(
        compute=Compute(1, 0),
        warmup=Warmup(3),
        reuse=Reuse(threshold=threshold, signal="probe"),
        predict=Predict("probe_gain"),
        cfg=FUSED,
    )
    leaving: list[torch.Tensor] = []
    model.norm_out.register_forward_hook(lambda m, args, output: leaving.append(args[0]))
    with policy.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        for step in range(STEPS):
            model(**inputs("dit", step, STEPS))
        assert [s.outcome for s in cached.trace.steps()] == verdicts
    assert "reused" in verdicts
    for ours, theirs in zip(leaving, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("name", ["dit", "flux", "wan", "cogvideox", "hunyuan_video"])
def test_the_filtered_latent_works_through_real_pipelines(name: str) -> None:
    pipe = tiny_pipeline(name)
    with load_policy("seacache").apply(pipe) as cached:
        call(pipe, 10)
        steps = cached.trace.steps()
        assert all(s.value is not None and s.value > 0 for s in steps if 0 < s.step < 9)
        assert {s.reason for s in steps if 0 < s.step < 9} <= {"above", "below"}


def test_the_filtered_latent_needs_a_scheduler() -> None:
    model = tiny_transformer("dit")
    policy = Policy(compute=Compute(0, 0), warmup=Warmup(1), reuse=Reuse(signal="filtered_latent"), cfg=FUSED)
    said = pytest.raises(ClockUnavailable, match=r"filtered_latent needs a scheduler.*cached\.run")
    with policy.apply(model, num_inference_steps=4), torch.no_grad(), said:
        model(**inputs("dit", 0, 4))


def test_a_model_whose_adapter_cannot_tell_the_modulated_input_is_refused_before_anything_is_changed() -> None:
    model = tiny_transformer("qwenimage")
    before = {name: type(module) for name, module in model.named_modules()}
    with pytest.raises(PolicyError, match="signal-unavailable"):
        load_policy("teacache-flux").apply(model, num_inference_steps=4)
    assert {name: type(module) for name, module in model.named_modules()} == before


@pytest.mark.parametrize("whole", [True, False])
def test_a_model_of_tokens_without_a_grid_is_refused_before_anything_is_changed(whole: bool) -> None:
    pipe = tiny_pipeline("qwenimage")
    before = {name: type(module) for name, module in pipe.transformer.named_modules()}
    says = r"(?s)signal-needs-places.*filtered_latent needs places.*row of tokens.*take another signal.*positions"
    with pytest.raises(PolicyError, match=says):
        load_policy("seacache").apply(pipe if whole else pipe.transformer)
    assert {name: type(module) for name, module in pipe.transformer.named_modules()} == before
    with load_policy("fora").apply(pipe):
        call(pipe, 4)


def test_of_an_image_and_its_reference_the_first_one_is_filtered() -> None:
    """As FLUX.1 Kontext gives them: one row of tokens, the reference's positions apart by their first column."""
    tokens = torch.randn(1, 12 + 15, 3, generator=torch.Generator().manual_seed(0))
    places = [(0, row, column) for row in range(3) for column in range(4)]
    places += [(1, row, column) for row in range(5) for column in range(3)]
    view = StepView(0, tokens, mixing=lambda: (0.5, 0.5))
    signal = Signal("filtered_latent")
    found = []
    for count in (12, 27):
        given = {"hidden_states": tokens[:, :count], "img_ids": torch.tensor(places[:count])}
        view.model_input = model_input(given, InputAdapter(positions="img_ids"), "Kontext")
        found.append(filtered_latent(view, signal))
    assert found[0].shape == (1, 3, 4, 3)
    assert torch.equal(*found)
    view.model_input = model_input(
        {"hidden_states": tokens, "img_ids": torch.tensor(places[3:] + places[:3])},
        InputAdapter(positions="img_ids"),
        "Kontext",
    )
    with pytest.raises(NoGrid, match=r"`img_ids` does not give them the places of one whole picture.*references"):
        filtered_latent(view, signal)


def test_a_call_whose_tokens_are_on_no_grid_fails_its_run_alone() -> None:
    model, policy = tiny_transformer("flux"), load_policy("seacache")
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(2)
    with policy.apply(model) as cached, torch.no_grad():
        for cut in (True, False):
            outputs: list[Any] = []
            refused: Any = pytest.raises(NoGrid, match="img_ids") if cut else nullcontext()
            with refused, cached.run(steps=2, scheduler=scheduler):
                for step in range(2):
                    given = inputs("flux", step, 2)
                    if cut:
                        given["hidden_states"], given["img_ids"] = given["hidden_states"][:, 1:], given["img_ids"][1:]
                    outputs.append(model(**given))
        assert cached.held_bytes() == 0
    assert len(outputs) == 2
    with torch.no_grad():
        assert torch.equal(outputs[0][0], model(**inputs("flux", 0, 2))[0])


@pytest.mark.parametrize("policy", ["teacache-flux", "magcache-flux", "seacache"])
def test_with_f0b0_and_one_chain_a_reused_step_runs_no_block(policy: str) -> None:
    pipe = tiny_pipeline("flux")
    with load_policy(policy).apply(pipe) as cached:
        call(pipe, 28)
        reused = [s for s in cached.trace.steps() if s.outcome == "reused"]
        assert reused
        assert {s.blocks_run for s in reused} == {0}
        assert {s.stack for s in reused} == {"transformer_blocks+single_transformer_blocks"}


def test_a_second_run_is_as_the_first_and_nothing_is_held_between() -> None:
    pipe = tiny_pipeline("wan")
    policy = load_policy("easycache-wan")
    with attrs.evolve(policy, reuse=attrs.evolve(policy.reuse, threshold=1.0)).apply(pipe) as cached:
        first_run = call(pipe, 16)
        assert cached.held_bytes() == 0
        assert torch.equal(call(pipe, 16), first_run)
        traces = [[(s.branch, s.outcome, s.value) for s in cached.trace.steps(run=i)] for i in (0, 1)]
        assert traces[0] == traces[1]
        assert any(outcome == "reused" for _, outcome, _ in traces[0])


@pytest.mark.parametrize(
    "signal", ["modulated_input", "transform_rate", "filtered_latent", "probe", "block_input", "hidden_states"]
)
def test_a_changed_resolution_drops_the_references_too(signal: Any) -> None:
    model = tiny_transformer("wan")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold=1e6, signal=signal), cfg=FUSED)
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(8)
    with policy.apply(model) as cached, torch.no_grad():
        with cached.run(steps=8, scheduler=scheduler):
            for step in range(8):
                arguments = inputs("wan", step, 8)
                if step >= 4:
                    arguments["hidden_states"] = torch.cat([arguments["hidden_states"]] * 2, dim=-1)
                model(**arguments)
                scheduler.step(torch.zeros(1), scheduler.timesteps[step], torch.zeros(1))
        outcomes = [(s.outcome[0], s.reason) for s in cached.trace.steps()]
    two = signal == "transform_rate"
    assert [outcome for outcome, _ in outcomes] == list("ccrrccrr" if two else "crrrcrrr")
    assert outcomes[4][1] == "shape_changed"
