"""Without its adapter, every transformer class of diffusers is learned from one call."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cachedsl.matching.reading import match_transformer
from cachedsl.runtime.learn import learn
from tests.zoo.base import Entry
from tests.zoo.entries import ENTRIES

CALLED_OTHERWISE = {
    "Cosmos3OmniTransformer": "the streams' names tell nothing, and the text's is taken for the hidden one"
}


def size(model: nn.Module, path: str) -> int:
    return sum(parameter.numel() for parameter in model.get_submodule(path).parameters())


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_the_lists_that_matter_are_found_and_pass_the_check(name: str) -> None:
    torch.set_num_threads(1)
    entry: Entry = ENTRIES[name]
    model = entry.build()
    entry.prepare(model)
    known = match_transformer([type(model).__name__])
    assert known is not None
    learnt = learn(model, (), entry.inputs(0, 8))
    largest = max(known.stacks, key=lambda path: size(model, path))
    assert largest in learnt.stacks
    found, declared = learnt.stacks[largest], known.stacks[largest]
    if type(model).__name__ not in CALLED_OTHERWISE:
        assert found.hidden == declared.hidden
    for stack in (found, declared):
        assert not stack.long_skips or found.long_skips
