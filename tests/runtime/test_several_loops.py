"""A pipeline's call with several denoising loops, or with calls before its loop, as chunked and pyramid pipelines do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cachedsl.language.parts import Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from tests.tiny import call, inputs, tiny_pipeline

STEPS = 5


def chunked(name: str, prefill: bool, steps: tuple[int, ...] = (STEPS, STEPS)) -> Any:
    """A tiny pipeline whose call runs its loop once per chunk, each with steps of its own."""
    pipe = tiny_pipeline(name)
    base = type(pipe)

    class Chunked(base):  # type: ignore[misc, valid-type]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if prefill:
                with torch.no_grad():
                    self.transformer(**inputs(name, 0, STEPS))
            chunks = [super(Chunked, self).__call__(*args, **{**kwargs, "num_inference_steps": n})[0] for n in steps]
            return (torch.cat([torch.as_tensor(chunk) for chunk in chunks]),)

    pipe.__class__ = Chunked
    return pipe


@pytest.mark.parametrize(("name", "prefill"), [("flux", False), ("wan", False), ("wan", True), ("dit", True)])
def test_every_loop_is_cached_for_itself(name: str, prefill: bool) -> None:
    pipe = chunked(name, prefill, (STEPS, 3))
    expected = call(pipe, STEPS)
    with Policy(compute=Compute(1, 0), reuse=Reuse(0.0)).apply(pipe) as cached:
        assert torch.equal(call(pipe, STEPS), expected)
    with Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always")).apply(pipe) as cached:
        first, second = call(pipe, STEPS), call(pipe, STEPS)
        assert torch.equal(first, second)
        assert cached.held_bytes() == 0
        for run in (0, 1):
            records = cached.trace.steps(run=run)
            for branch in {s.branch for s in records if s.loop == records[-1].loop}:
                loops = [[s for s in records if s.branch == branch and s.loop == loop] for loop in range(9)]
                outcomes = ["".join(s.outcome[0] for s in loop if s.stack == records[-1].stack) for loop in loops]
                assert [found for found in outcomes if len(found) > 1] == ["crrrr", "crr"], branch
        assert not cached.trace.warnings()
        summary = cached.summary()
        assert summary.blocks == sum(s.blocks for s in cached.trace.steps(run=1))
