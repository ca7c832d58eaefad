"""A declared pattern is checked against the tensors that actually come."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
import torch
from torch import nn

from cachedsl import matching
from cachedsl.policy.model import Compute, Policy, Reuse, Warmup
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
    monkeypatch.setattr(attaching, "match_transformer", lambda names: wrong)


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


def test_a_loop_that_leaves_a_unit_early_is_an_error() -> None:
    class Short(type(tiny_transformer("dit"))):  # type: ignore[misc]
        def forward(self, hidden_states: torch.Tensor, timestep: Any, class_labels: Any) -> Any:
            hidden_states = self.pos_embed(hidden_states)
            for block in self.transformer_blocks[:-1]:
                hidden_states = block(hidden_states, timestep=timestep, class_labels=class_labels)
            return (hidden_states,)

    model = tiny_transformer("dit")
    model.__class__ = Short
    skipped = pytest.raises(SkippedBlock, match="are computed or reused as one")
    with POLICY.apply(model, num_inference_steps=3), torch.no_grad(), skipped:
        model(**inputs("dit", 0, 3))
