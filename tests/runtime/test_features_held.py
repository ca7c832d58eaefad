"""Features in another precision, or on the CPU: the same plan, the figures to match, and outputs that stay near."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings

from cachedsl import Policy, compile_policy
from cachedsl.language.parts import Features
from cachedsl.loading import parse_policy
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.plan.rules import Rules
from cachedsl.runtime.storage import Storage
from cachedsl.text.finding import PolicyError
from tests.strategies import policies
from tests.tiny import inputs, tiny_transformer

STEPS = 7
SHAPE = ModelShape([StackShape("transformer_blocks", 4), StackShape("single_transformer_blocks", 4)])
METHODS: dict[str, Any] = {
    "copy": {},
    "taylor": {"method": "taylor", "order": 2},
    "newton": {"method": "newton", "order": 2},
    "hermite": "hermite",
    "foca": "foca",
    "dmd": {"method": "dmd", "history": 4},
    "probe_gain": "probe_gain",
    "repaid": {"method": "taylor", "repay": 0.5},
    "outputs": {"method": "taylor", "target": "hidden_states", "horizon": 1},
}


def policy(predict: Any = None, **features: Any) -> Policy:
    return Policy(
        compute="F1B0",
        warmup=1,
        reuse={"threshold": "always", "max_continuous": 1},
        predict=predict,
        cfg="fused",
        features=features or None,
    )


def run(model: Any, one: Policy, dtype: torch.dtype = torch.float32) -> tuple[list[torch.Tensor], list[Any], int]:
    outputs, held = [], 0
    with one.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        for step in range(STEPS):
            given = inputs("flux", step, STEPS)
            for name, value in given.items():
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    given[name] = value.to(dtype)
            outputs.append(model(**given, return_dict=False)[0])
            held = max(held, cached.held_bytes())
        return outputs, [(s.stack, s.outcome, s.reason) for s in cached.trace.steps()], held


def plain(rules: Rules) -> Rules:
    return evolve(rules, features=None)


@settings(max_examples=25)
@given(policies())
def test_the_plan_is_the_same(one: Policy) -> None:
    def plan(features: Features) -> Plan | None:
        try:
            return compile_policy(evolve(one, features=features, stacks=()), SHAPE, 28)
        except PolicyError:
            return None

    with_it, without = plan(Features("bfloat16", "cpu")), plan(Features())
    assert (with_it is None) == (without is None)
    if with_it is not None and without is not None:
        assert [evolve(s, rules=plain(s.rules)) for s in with_it.stacks] == list(without.stacks)


@pytest.mark.parametrize(
    ("name", "dtype", "size"),
    [*((name, "bfloat16", 2) for name in METHODS), ("taylor", "float16", 2), ("repaid", "float32", 4)],
)
def test_what_is_held_and_what_comes_out(name: str, dtype: str, size: int) -> None:
    model = tiny_transformer("flux")
    exact, outcomes, _ = run(model, policy(METHODS[name]))
    outputs, same, held = run(model, policy(METHODS[name], dtype=dtype))
    assert same == outcomes
    errors = [float((a - b).abs().max()) for a, b in zip(outputs, exact, strict=True)]
    assert max(errors) <= (0.0 if size == 4 else 0.05), errors
    assert (max(errors) > 0) == (size != 4), "it has an effect"
    assert all(output.dtype is torch.float32 for output in outputs)
    shapes = {
        "transformer.transformer_blocks": {"hidden": (1, 16, 32), "encoder": (1, 6, 32)},
        "transformer.single_transformer_blocks": {"hidden": (1, 22, 32)},
    }
    with policy(METHODS[name], dtype=dtype).apply(model, num_inference_steps=STEPS) as cached:
        expected = cached.plan(STEPS).memory(shapes, element_size=4)
        assert held <= expected.total
    if name in ("copy", "taylor", "newton"):
        assert held == expected.total


@pytest.mark.parametrize("predict", [METHODS["taylor"], METHODS["repaid"]])
@pytest.mark.parametrize("more", [{}, {"prune": {}, "reuse": {"threshold": 0.3}, "predict": "copy"}])
def test_wider_than_the_model(predict: Any, more: dict[str, Any]) -> None:
    model = tiny_transformer("flux").to(torch.bfloat16)
    one = policy(predict, dtype="float32")
    one = evolve(one, **{name: getattr(Policy(**more), name) for name in more})
    outputs, outcomes, _ = run(model, one, torch.bfloat16)
    assert all(output.dtype is torch.bfloat16 and output.isfinite().all() for output in outputs)
    assert "reused" in [outcome for _, outcome, _ in outcomes]


def test_on_the_cpu_it_is_the_same_here() -> None:
    model = tiny_transformer("flux")
    exact, *_ = run(model, policy(METHODS["taylor"]))
    outputs, *_ = run(model, policy(METHODS["taylor"], device="cpu"))
    assert all(torch.equal(a, b) for a, b in zip(outputs, exact, strict=True))


def test_what_is_held_elsewhere_comes_back_to_the_block() -> None:
    storage = Storage(torch.bfloat16, torch.device("meta"))
    held = storage.put(torch.ones(2, 3))
    assert (held.device.type, held.dtype) == ("meta", torch.bfloat16)
    assert Storage(None, torch.device("cpu")).get(held.new_ones(2, 3, device="cpu"), torch.device("meta")).is_meta


def test_figures() -> None:
    text = "version: 1\ncompute: F1B0\npredict: taylor\nfeatures: {dtype: bfloat16, device: cpu}\n"
    one = parse_policy(f"{text}stacks: {{single_transformer_blocks: {{features: {{dtype: null, device: null}}}}}}\n")
    memory = compile_policy(one, SHAPE, 28).memory({"hidden": (1, 10, 10)}, element_size=4)
    first, second = memory.stacks
    assert (first.features, first.on_cpu) == (2 * 100 * 2, True)
    assert (second.features, second.on_cpu) == (2 * 100 * 4, False)
    assert memory.on_cpu == first.features
    words = compile_policy(parse_policy(text), SHAPE, 28).explain()
    assert "What is kept for that is held in bfloat16 on the CPU." in words
    with pytest.raises(Exception, match="features"):
        _ = parse_policy(text).notation
    with pytest.raises(PolicyError, match="float32"):
        parse_policy("version: 1\nfeatures: {dtype: float8}\n")


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_on_the_cpu_of_a_model_on_a_device(name: str) -> None:
    model = tiny_transformer("flux").to("cuda")

    def outputs(one: Policy) -> list[torch.Tensor]:
        with one.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
            found = []
            for step in range(STEPS):
                given = {
                    key: value.to("cuda") if isinstance(value, torch.Tensor) else value
                    for key, value in inputs("flux", step, STEPS).items()
                }
                found.append(model(**given, return_dict=False)[0])
                anchors = [t for run in cached._session.all_runs() for t in run.tensors()]
            assert one.features.device is None or all(t.device.type == "cpu" for t in anchors)
            return found

    expected = outputs(policy(METHODS[name]))
    got = outputs(policy(METHODS[name], device="cpu"))
    assert all(t.device.type == "cuda" for t in got)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(got, expected, strict=True))
