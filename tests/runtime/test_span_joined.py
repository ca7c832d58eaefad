"""`span: joined`: the block lists of one transformer as one chain with one decision."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch

import cachedsl
from cachedsl import PolicyError
from cachedsl.language.parts import Cfg, Compute, Predict, Prune, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching import reading as matching
from cachedsl.runtime import attach as attaching
from cachedsl.runtime.errors import CannotJoin
from tests.runtime.test_reuse import NAMES, count_blocks
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer
from tests.zoo.base import tensors
from tests.zoo.entries import ENTRIES

STEPS = 6
CHAIN = "transformer_blocks+single_transformer_blocks"


def joined(threshold: Any, front: int = 1, back: int = 1, **more: Any) -> Policy:
    reuse = Reuse(threshold=threshold)
    return Policy(compute=Compute(front, back), warmup=Warmup(2), reuse=reuse, cfg=Cfg("fused"), span="joined", **more)


def run(model: Any, name: str, policy: Policy, *, fixed: bool = False) -> tuple[list[torch.Tensor], Any]:
    with policy.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        seen = [model(**inputs(name, 1 if fixed else i, STEPS), return_dict=False)[0] for i in range(STEPS)]
    return seen, cached


@pytest.mark.parametrize("name", NAMES)
def test_threshold_zero_is_the_uncached_model(name: str) -> None:
    model = tiny_transformer(name)
    with torch.no_grad():
        expected = [model(**inputs(name, i, STEPS), return_dict=False)[0] for i in range(STEPS)]
    seen, _ = run(model, name, joined(0.0))
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


@pytest.mark.parametrize("predict", [Predict(), Predict("taylor", 1)], ids=["copy", "taylor"])
@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (1, 1), (1, 4)])
def test_a_stationary_input_gives_the_computed_output(shape: tuple[int, int], predict: Predict) -> None:
    model = tiny_transformer("flux", blocks=3)
    seen, cached = run(model, "flux", joined("always", *shape, predict=predict), fixed=True)
    assert {s.stack for s in cached.trace.steps()} == {CHAIN}
    assert [s.outcome for s in cached.trace.steps()] == ["computed"] * 2 + ["reused"] * 4
    scale = seen[0].abs().max()
    assert all(float((o - seen[0]).abs().max() / scale) < 1e-4 for o in seen)


def test_front_and_back_are_those_of_the_chain() -> None:
    model = tiny_transformer("flux", blocks=3)
    counts, handles = count_blocks(model)
    run(model, "flux", joined("always", 1, 2))
    for handle in handles:
        handle.remove()
    first = [counts[f"transformer_blocks.{i}"] for i in range(3)]
    second = [counts[f"single_transformer_blocks.{i}"] for i in range(3)]
    assert first == [STEPS, 2, 2]
    assert second == [2, STEPS, STEPS]


def test_one_decision_by_the_first_front_blocks() -> None:
    model = tiny_transformer("flux", blocks=3)
    _, own = run(model, "flux", attrs.evolve(joined(1e-9, 1, 0), span="stack"))
    _, chain = run(model, "flux", joined(1e-9, 1, 0))
    assert [s.value for s in chain.trace.steps()] == [s.value for s in own.trace.steps(stack="transformer_blocks")]
    assert len(chain.trace.steps()) == STEPS
    assert all(s.blocks == 6 for s in chain.trace.steps())


def test_pruning_goes_over_the_whole_chain() -> None:
    model = tiny_transformer("flux", blocks=3)
    seen, cached = run(model, "flux", joined(1e-3, 1, 0, prune=Prune()), fixed=True)
    assert len(cached.trace.steps()[0].units) == 5
    assert {u.outcome for u in cached.trace.steps()[-1].units} == {"reused"}
    assert all(torch.allclose(o, seen[0], atol=1e-4) for o in seen)


@pytest.mark.parametrize("name", ["flux", "wan22", "dit"])
def test_pipelines(name: str) -> None:
    pipe = tiny_pipeline(name)
    policy = attrs.evolve(joined("always", 1, 0), cfg=Cfg())
    with policy.apply(pipe) as cached:
        first, second = call(pipe, STEPS), call(pipe, STEPS)
        assert any(s.outcome == "reused" for s in cached.trace.steps())
        assert cached.held_bytes() == 0
    assert torch.equal(first, second)


def test_lists_that_do_not_fit_together_cannot_join(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(type(tiny_transformer("dit"))):  # type: ignore[misc]
        def forward(self, hidden_states: torch.Tensor, timestep: Any, class_labels: Any) -> Any:
            hidden_states = self.pos_embed(hidden_states)
            for blocks in (self.transformer_blocks, self.more):
                for block in blocks:
                    hidden_states = block(hidden_states, timestep=timestep, class_labels=class_labels)
                hidden_states = torch.cat([hidden_states, hidden_states], dim=1)
            return (hidden_states,)

    model = tiny_transformer("dit")
    model.more = tiny_transformer("dit").transformer_blocks
    model.__class__ = Longer
    adapter = matching.match_transformer(["DiTTransformer2DModel"])
    assert adapter is not None
    both = attrs.evolve(adapter, stacks={**adapter.stacks, "more": adapter.stacks["transformer_blocks"]})
    monkeypatch.setattr(attaching, "match_transformer", lambda names, own: both)
    refused = pytest.raises(
        CannotJoin, match=r"transformer_blocks\+more: span: joined needs hidden_states of one shape"
    )
    with joined(0.5).apply(model, num_inference_steps=STEPS), torch.no_grad(), refused:
        model(**inputs("dit", 0, STEPS))


CONCATENATING = (
    "Flux2Transformer2DModel",
    "AuraFlowTransformer2DModel",
    "ChromaTransformer2DModel",
    "HiDreamImageTransformer2DModel",
    "BriaFiboTransformer2DModel",
)
"""Their single blocks take what the joint blocks return, text and image in one stream."""

APART = ("ZImageTransformer2DModel", "LatteTransformer3DModel", "Lumina2Transformer2DModel")
"""Their lists work on different streams, or on other axes of one."""


def zoo_outputs(name: str, policy: Policy | None, given: list[dict[str, Any]]) -> tuple[list[torch.Tensor], list[str]]:
    """Return the outputs of a class of the zoo, one a step, and what became of each step."""
    model = ENTRIES[name].build()
    with torch.no_grad():
        if policy is None:
            return [tensors(model(**step))[0] for step in given], []
        with policy.apply(model) as cached, cached.run(steps=len(given)):
            seen = [tensors(model(**step))[0] for step in given]
        return seen, [step.outcome for step in cached.trace.steps()]


@pytest.mark.parametrize("name", CONCATENATING)
def test_lists_that_concatenate_streams_join(name: str) -> None:
    moving = [ENTRIES[name].inputs(step, STEPS) for step in range(STEPS)]
    expected, _ = zoo_outputs(name, None, moving)
    seen, _ = zoo_outputs(name, joined(0.0), moving)
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))
    for front, back, predict in ((1, 1, Predict()), (1, 5, Predict("taylor", 1)), (5, 1, Predict())):
        still, outcomes = zoo_outputs(name, joined("always", front, back, predict=predict), [moving[2]] * STEPS)
        assert outcomes == ["computed"] * 2 + ["reused"] * 4
        assert all(torch.allclose(one, expected[2], atol=1e-4 * float(expected[2].abs().max())) for one in still)


@pytest.mark.parametrize("warmup", [1, 2], ids=["asked", "viewed"])
def test_what_the_loop_adds_on_the_way_is_no_part_of_a_concatenated_residual(warmup: int) -> None:
    """Chroma's ControlNets add to the image before and behind the place where text and image become one stream."""
    given = ENTRIES["ChromaTransformer2DModel"].inputs(2, STEPS)
    image = given["hidden_states"].shape[:2]
    residuals = {
        name: [torch.full((*image, 32), 0.1 * (i + 1)) for i in range(2)]
        for name in ("controlnet_block_samples", "controlnet_single_block_samples")
    }
    one = {**given, **residuals}
    (expected,), _ = zoo_outputs("ChromaTransformer2DModel", None, [one])
    policy = attrs.evolve(joined("always"), warmup=Warmup(warmup))
    seen, outcomes = zoo_outputs("ChromaTransformer2DModel", policy, [one] * 4)
    assert outcomes == ["computed"] * warmup + ["reused"] * (4 - warmup)
    assert all(torch.allclose(other, expected, atol=1e-4 * float(expected.abs().max())) for other in seen)


@pytest.mark.parametrize("name", APART)
def test_lists_that_are_apart_are_refused_when_the_policy_is_applied(name: str) -> None:
    model = ENTRIES[name].build()
    with pytest.raises(PolicyError, match=r"(?s)lists-apart.*do not hand their hidden states on.*take span: stack"):
        joined(0.1).apply(model)
    assert cachedsl.attached(model) is None
    assert type(model).__name__ == name
