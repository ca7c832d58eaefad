"""Every predictor, and every parameter that goes with it, on real models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from cachedsl.language.methods import METHODS
from cachedsl.language.parts import Cfg, Compute, Predict, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.runtime.errors import ClockUnavailable
from cachedsl.runtime.features import Position, UnitFeatures
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer


def static(predict: Predict, warmup: int = 4) -> Policy:
    reuse = Reuse(threshold="always")
    return Policy(compute=Compute(1, 0), warmup=Warmup(warmup), reuse=reuse, predict=predict, cfg=Cfg("fused"))


def outputs(model: Any, name: str, predict: Predict, steps: int = 8, *, fixed: bool = False) -> list[torch.Tensor]:
    with static(predict).apply(model, num_inference_steps=steps), torch.no_grad():
        return [model(**inputs(name, 1 if fixed else i, steps), return_dict=False)[0] for i in range(steps)]


@pytest.mark.parametrize("target", ["residual", "hidden_states"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["dit", "flux"])
def test_a_stationary_input_gives_the_computed_output(name: str, method: Any, target: Any) -> None:
    seen = outputs(tiny_transformer(name), name, Predict(method, 2, target=target), fixed=True)
    scale = seen[0].abs().max()
    assert all(float((o - seen[0]).abs().max() / scale) < 1e-4 for o in seen)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_something_of_its_own(method: Any) -> None:
    model = tiny_transformer("dit")
    mine = outputs(model, "dit", Predict(method, 2))[-1]
    others = [outputs(model, "dit", Predict(other, 2))[-1] for other in METHODS if other != method]
    if method not in ("taylor", "newton"):  # on evenly spaced anchors these two are one polynomial
        assert not any(torch.allclose(mine, other, rtol=1e-6) for other in others)


@pytest.mark.parametrize("name", ["dit", "flux"])
def test_repay_changes_what_follows_the_first_gap_and_leaves_a_stationary_input_alone(name: str) -> None:
    model = tiny_transformer(name)
    reuse = Reuse("always", max_continuous=2)

    def run(repay: float, fixed: bool) -> list[torch.Tensor]:
        policy = Policy(
            compute=Compute(0, 0), warmup=Warmup(3), reuse=reuse, predict=Predict("copy", repay=repay), cfg=Cfg("fused")
        )
        with policy.apply(model, num_inference_steps=9), torch.no_grad():
            return [model(**inputs(name, 1 if fixed else i, 9), return_dict=False)[0] for i in range(9)]

    plain, paid = run(0.0, fixed=False), run(1.0, fixed=False)
    same = [torch.equal(a, b) for a, b in zip(plain, paid, strict=True)]
    assert same == [True] * 6 + [False, True, True], "the debt of the first gap is paid on the step after the next one"
    stationary = run(1.0, fixed=True)
    scale = stationary[0].abs().max()
    assert all(float((o - stationary[0]).abs().max() / scale) < 1e-4 for o in stationary)


def test_published_form_differs_from_order_2_on() -> None:
    model = tiny_transformer("dit")
    for order, same in ((1, True), (2, False)):
        exact, published = (
            outputs(model, "dit", Predict("taylor", order, form))[-1] for form in ("exact", "published")
        )  # type: ignore[arg-type]
        assert torch.allclose(exact, published, rtol=1e-6) == same


def test_beyond_its_horizon_a_predictor_copies() -> None:
    model = tiny_transformer("dit")
    near = outputs(model, "dit", Predict("taylor", 1))
    copied = outputs(model, "dit", Predict("copy"))
    limited = outputs(model, "dit", Predict("taylor", 1, horizon=2))
    assert torch.equal(limited[5], near[5])
    assert not torch.equal(near[6], copied[6])
    assert torch.equal(limited[6], copied[6])


def test_streams_that_are_not_named_are_copied() -> None:
    at = [Position(i, float(i)) for i in range(3)]
    entry = {"hidden": torch.zeros(1, 2, 3), "encoder": torch.zeros(1, 4, 3)}
    features = UnitFeatures(Predict("taylor", 1, streams=("encoder",)))
    for i in range(2):
        features.store(at[i], entry, {k: v + i for k, v in entry.items()}, None)  # type: ignore[arg-type]
    predicted = features.approximate(at[2], entry)  # type: ignore[arg-type]
    assert predicted["hidden"] is not None
    assert predicted["encoder"] is not None
    assert predicted["hidden"].eq(1).all()
    assert predicted["encoder"].eq(2).all()


def test_target_hidden_states_returns_the_output_whatever_comes_in() -> None:
    entry = {"hidden": torch.zeros(1, 2, 3)}
    for target, expected in (("residual", 9.0), ("hidden_states", 4.0)):
        features = UnitFeatures(Predict(target=target))  # type: ignore[arg-type]
        features.store(Position(0, 0.0), entry, {"hidden": entry["hidden"] + 4}, None)  # type: ignore[arg-type]
        predicted = features.approximate(Position(1, 1.0), {"hidden": entry["hidden"] + 5})["hidden"]
        assert predicted is not None
        assert predicted.eq(expected).all()


@pytest.mark.parametrize("clock", ["timestep", "sigma"])
@pytest.mark.parametrize("name", ["dit", "flux", "wan22"])
def test_distance_may_be_measured_on_the_schedulers_clock(name: str, clock: Any) -> None:
    pipe = tiny_pipeline(name)
    results = {}
    for kind in ("step", clock):
        with (
            static(Predict("newton", 1, clock=kind), warmup=2).apply(pipe)
            if name == "dit"
            else Policy(
                compute=Compute(0, 0), warmup=Warmup(2), reuse=Reuse("always"), predict=Predict("newton", 1, clock=kind)
            ).apply(pipe)
        ):
            results[kind] = call(pipe, 8)
    assert results[clock].isfinite().all()
    assert not torch.equal(results["step"], results[clock])


def test_a_clock_that_is_not_there_is_an_error_that_says_the_way_out() -> None:
    model = tiny_transformer("dit")
    with static(Predict("newton", 1, clock="sigma")).apply(model) as cached, torch.no_grad():
        with (
            pytest.raises(ClockUnavailable, match=r"this run has none.*cached\.run\(steps=\.\.\., scheduler="),
            cached.run(4),
        ):
            model(**inputs("dit", 0, 4))
        with pytest.raises(ClockUnavailable, match="this run has DDIMScheduler"), cached.run(4, DDIMScheduler()):
            model(**inputs("dit", 0, 4))
        scheduler = FlowMatchEulerDiscreteScheduler()
        scheduler.set_timesteps(6)
        with cached.run(6, scheduler):
            for i in range(6):
                scheduler._step_index = i
                model(**inputs("dit", i, 6))
        assert [s.outcome for s in cached.trace.steps(run=2)] == ["computed"] * 4 + ["reused"] * 2
