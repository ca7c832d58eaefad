"""Under torch.compile a policy does what it does without; compiled blocks stay compiled.

Dynamo with the eager backend: whether the model can be traced is the question here, not what is made of the graph.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cachedsl import attached
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

STEPS = 6


def drive(model: Any, policy: Policy, forward: Any) -> tuple[list[torch.Tensor], list[tuple[str, str]]]:
    with policy.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        outputs = [forward(**inputs("dit", i, STEPS), return_dict=False)[0] for i in range(STEPS)]
        return outputs, [(s.outcome, s.reason) for s in cached.trace.steps()]


@pytest.mark.parametrize("threshold", ["always", 0.3], ids=["static", "dynamic"])
@pytest.mark.parametrize("how", ["blocks", "module.compile", "torch.compile"])
def test_compiled_models_and_blocks(how: str, threshold: Any) -> None:
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse(threshold=threshold), cfg=Cfg("fused"))
    model = tiny_transformer("dit")
    expected, outcomes = drive(model, policy, model)
    graphs = 0

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    forward: Any = model
    if how == "blocks":
        for block in model.transformer_blocks:
            block.compile(backend=backend)
    elif how == "module.compile":
        model.compile(backend=backend)
    else:
        forward = torch.compile(model, backend=backend)
    got, seen = drive(model, policy, forward)
    torch._dynamo.reset()
    assert seen == outcomes
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(got, expected, strict=True))
    assert graphs > 0
    if how != "blocks":
        assert not torch._dynamo.utils.counters["graph_break"], "not even where the caller does not insist"


def test_a_compiled_transformer_in_a_pipeline_is_known_by_its_class() -> None:
    pipe = tiny_pipeline("dit")
    plain = call(pipe, STEPS)
    torch._dynamo.reset()
    pipe.transformer = torch.compile(pipe.transformer, backend="eager")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse(0.0))
    with policy.apply(pipe) as cached:
        assert torch.allclose(call(pipe, STEPS), plain, atol=1e-5)
        assert cached.learnt is None
        assert attached(pipe.transformer) is attached(pipe) is cached
    assert attached(pipe.transformer) is None
    torch._dynamo.reset()
