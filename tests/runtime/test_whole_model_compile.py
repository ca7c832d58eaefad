"""A model that is compiled as a whole stays in one graph under a policy: one for each kind of step, and no break."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
import torch

from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Predict, Prune, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.ratios import Ratios
from tests.tiny import inputs, tiny_transformer

STEPS = 6
RATIOS = Ratios((1.0, 1.05, 1.04, 1.06, 1.02, 1.03))


def policy(threshold: Any = "always", front: int = 1, back: int = 0, **rest: Any) -> Policy:
    signal = rest.pop("signal", Signal())
    reuse = Reuse(threshold, signal, max_continuous=rest.pop("most", None))
    return Policy(**{"compute": Compute(front, back), "warmup": Warmup(2), "reuse": reuse, "cfg": Cfg("fused"), **rest})


class Graphs:
    """A backend that runs what it is given, and counts it."""

    def __init__(self) -> None:
        self.operations: list[Counter[str]] = []

    def __call__(self, graph: torch.fx.GraphModule, _: Any) -> Any:
        called = [str(node.target) for node in graph.graph.nodes if node.op.startswith("call")]
        self.operations.append(Counter(called))
        return graph.forward


def model() -> Any:
    return tiny_transformer("flux", blocks=3)


def drive(target: Any, call: Any, one: Policy, runs: int = 1) -> tuple[list[torch.Tensor], list[tuple[str, str]]]:
    with one.apply(target) as cached, torch.no_grad():
        outputs = []
        for _ in range(runs):
            with cached.run(steps=STEPS):
                outputs += [call(**inputs("flux", i, STEPS), return_dict=False)[0] for i in range(STEPS)]
        return outputs, [(step.outcome, step.reason) for step in cached.trace.steps()]


KINDS = {
    "mask": (policy(steps=BitMask("110100", "static"), back=1, predict=Predict("taylor", 1)), 2),
    "foca": (policy(front=0, span="joined", predict=Predict("foca"), most=2), 2),
    "magnitude": (policy(0.1, signal=Signal("magnitude", accumulate="until_compute", ratios=RATIOS)), 2),
    "residual": (policy(0.5, span="joined", most=2), 2),
}


@pytest.mark.parametrize("before", [True, False], ids=["before apply", "after apply"])
@pytest.mark.parametrize("name", KINDS)
def test_there_is_a_graph_for_each_kind_of_step(name: str, before: bool) -> None:
    one, kinds = KINDS[name]
    target, graphs = model(), Graphs()
    expected, outcomes = drive(target, target, one)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    if before:
        call = torch.compile(target, backend=graphs, fullgraph=True)
    else:
        target.compile(backend=graphs, fullgraph=True)
        call = target
    got, seen = drive(target, call, one)
    assert seen == outcomes
    assert {outcome for outcome, _ in seen} == {"computed", "reused"}
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(got, expected, strict=True))
    assert len(graphs.operations) == kinds
    drive(target, call, one, runs=2)  # which attaches anew
    assert len(graphs.operations) == kinds
    with torch.no_grad():
        call(**inputs("flux", 0, STEPS))
        assert len(graphs.operations) == kinds + 1, "the bare model has one graph again"
        torch.compile(model(), backend=graphs, fullgraph=True)(**inputs("flux", 0, STEPS))
    assert len(graphs.operations) == kinds + 1, "another model of the class does not notice"
    assert not torch._dynamo.utils.counters["graph_break"]
    bare, largest = graphs.operations[-1], max(graphs.operations[:-1], key=lambda found: found.total())
    assert not bare - largest, "every operation of the bare model is in the graph of a computed step"
    assert (largest - bare).total() <= 20
    torch._dynamo.reset()


def test_what_cannot_be_a_view_says_so_once_and_is_right(caplog: pytest.LogCaptureFixture) -> None:
    one = policy(0.3, prune=Prune())
    target = model()
    expected, outcomes = drive(target, target, one)
    torch._dynamo.reset()
    call = torch.compile(target, backend="eager", fullgraph=True)
    with caplog.at_level(logging.WARNING, "cachedsl"):
        got, seen = drive(target, call, one)
    torch._dynamo.reset()
    assert seen == outcomes
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert [record.message.count("compile_repeated_blocks()") for record in caplog.records] == [1]


def test_inductor_agrees_with_eager() -> None:
    one, target = policy(steps=BitMask("110100", "static")), tiny_transformer("flux", blocks=2)
    expected, _ = drive(target, target, one)
    torch._dynamo.reset()
    got, _ = drive(target, torch.compile(target, fullgraph=True), one)
    torch._dynamo.reset()
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(got, expected, strict=True))


def test_a_measuring_policy_on_two_lists_takes_the_same_steps() -> None:
    one, target, graphs = policy(0.1, signal=Signal("residual")), model(), Graphs()
    expected, outcomes = drive(target, target, one)
    torch._dynamo.reset()
    got, seen = drive(target, torch.compile(target, backend=graphs, fullgraph=True), one)
    torch._dynamo.reset()
    assert seen == outcomes
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(got, expected, strict=True))
