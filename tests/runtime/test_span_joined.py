"""`span: joined`: the block lists of one transformer as one chain with one decision."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch

from cachedsl.language.parts import Cfg, Compute, Predict, Prune, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching import reading as matching
from cachedsl.runtime import attach as attaching
from cachedsl.runtime.errors import CannotJoin
from tests.runtime.test_reuse import NAMES, count_blocks
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

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
