"""A declared pattern is checked against the tensors that actually come."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import nn

from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching import reading as matching
from cachedsl.runtime import attach as attaching
from cachedsl.runtime.errors import PatternMismatch, SkippedBlock
from tests.tiny import inputs, tiny_transformer

POLICY = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold="always"))


def declare(monkeypatch: pytest.MonkeyPatch, model: nn.Module, **changes: Any) -> None:
    """Let matching answer with the model's adapter, every stack changed."""
    adapter = matching.match_transformer([type(model).__name__])
    assert adapter is not None
    stacks = {path: attrs.evolve(stack, **changes) for path, stack in adapter.stacks.items()}
    wrong = attrs.evolve(adapter, stacks=stacks)
    monkeypatch.setattr(attaching, "match_transformer", lambda names, own: wrong)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("dit", {"pattern": "hidden_encoder"}, "returns (hidden, encoder), but what came is a tensor of shape"),
        ("flux", {"pattern": "hidden_only"}, "returns a tensor, but what came is a tuple of 2"),
        ("flux", {"pattern": "hidden_encoder"}, "returns (hidden, encoder), but what came is the streams in the other"),
        ("cogvideox", {"pattern": "hidden_encoder_swapped"}, "the streams in the other order"),
        ("dit", {"hidden": "x"}, "takes `x`, but what came is its forward has no argument of that name"),
    ],
)
def test_a_wrong_declaration_names_the_block_and_both_sides(
    monkeypatch: pytest.MonkeyPatch, name: str, changes: dict[str, Any], message: str
) -> None:
    model = tiny_transformer(name)
    with torch.no_grad():
        expected = model(**inputs(name, 0, 3), return_dict=False)[0]
    declare(monkeypatch, model, **changes)
    with POLICY.apply(model, num_inference_steps=3), torch.no_grad():
        with pytest.raises(PatternMismatch, match=re.escape(message)) as caught:
            model(**inputs(name, 0, 3))
        assert re.search(r"transformer\.\w+\[\d+\] \(\w+\): the adapter declares pattern", str(caught.value))
    with torch.no_grad():
        assert torch.equal(model(**inputs(name, 0, 3), return_dict=False)[0], expected)


def leaving_out(skipped: Callable[[int, int], bool]) -> torch.nn.Module:
    """A tiny DiT whose loop does not call the blocks for which `skipped(step, index)`; `calls` counts its forwards."""

    class Short(type(tiny_transformer("dit"))):  # type: ignore[misc]
        calls = 0

        def forward(self, hidden_states: torch.Tensor, timestep: Any, class_labels: Any) -> Any:
            hidden_states = self.pos_embed(hidden_states)
            for index, block in enumerate(self.transformer_blocks):
                if not skipped(Short.calls, index):
                    hidden_states = block(hidden_states, timestep=timestep, class_labels=class_labels)
            Short.calls += 1
            return (hidden_states,)

    model = tiny_transformer("dit")
    model.__class__ = Short
    return model


@pytest.mark.parametrize("out", [{5}, {1}, {1, 2, 5}, {3}])
def test_blocks_that_the_caller_always_leaves_out_are_no_hindrance(out: set[int]) -> None:
    model = leaving_out(lambda step, index: index in out)
    with torch.no_grad():
        expected = model(**inputs("dit", 0, 3))[0]
    reuse = Reuse(threshold="always")
    with Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=reuse, cfg=Cfg("fused")).apply(model) as cached:
        with cached.run(steps=3), torch.no_grad():
            outputs = [model(**inputs("dit", 0, 3))[0] for _ in range(3)]
        assert [s.outcome for s in cached.trace.steps()] == ["computed", "reused", "reused"]
        assert [s.blocks_run for s in cached.trace.steps()] == [6 - len(out), 1, 1]
    assert all(torch.allclose(output, expected, atol=1e-5) for output in outputs)


@pytest.mark.parametrize(("first", "later"), [({3}, {5}), ({5}, {3})])
def test_a_call_that_leaves_out_others_than_the_computed_one_is_an_error(first: set[int], later: set[int]) -> None:
    model = leaving_out(lambda step, index: index in (first if step == 0 else later))
    reuse = Reuse(threshold="always")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=reuse, cfg=Cfg("fused"))
    with policy.apply(model, num_inference_steps=3), torch.no_grad():
        model(**inputs("dit", 0, 3))
        with pytest.raises(SkippedBlock, match=r"were to be reused as one.*calls others of them"):
            model(**inputs("dit", 1, 3))
