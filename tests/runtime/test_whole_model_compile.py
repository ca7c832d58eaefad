"""A model that is compiled as a whole stays in one graph under a policy: one for each kind of step, and no break.

Dynamo with the eager backend, but for one test: what is in a graph is the question here, not what is made of it.
"""

from __future__ import annotations

import logging
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Predict, Prune, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.ratios import Ratios
from cachedsl.runtime import gate
from cachedsl.signals import Ranks
from tests.tiny import inputs, tiny_transformer
from tests.zoo.compiled import MEASURING, STATIC, under
from tests.zoo.entries import ENTRIES

STEPS = 6
RATIOS = Ratios((1.0, 1.05, 1.04, 1.06, 1.02, 1.03))


pytestmark = pytest.mark.usefixtures("fresh_dynamo")


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

    def __len__(self) -> int:
        return len(self.operations)


def model(blocks: int = 2) -> Any:
    return tiny_transformer("flux", blocks=blocks)


Run = tuple[list[torch.Tensor], list[tuple[str, str]]]


def drive(
    target: Any, call: Any, one: Policy, ranks: Any = None, sizes: tuple[int, ...] = (), family: str = "flux"
) -> Run:
    """Run a model under a policy; `sizes` are of its calls in turn, in tokens."""
    with one.apply(target) as cached, torch.no_grad():
        cached._session.ranks = ranks
        outputs = []
        with cached.run(steps=STEPS):
            for step in range(STEPS):
                given = inputs(family, step, STEPS)
                if sizes:
                    here = slice(sizes[step % len(sizes)])
                    given |= {"hidden_states": given["hidden_states"][:, here], "img_ids": given["img_ids"][here]}
                outputs.append(call(**given, return_dict=False)[0])
        return outputs, [(step.outcome, step.reason) for step in cached.trace.steps()]


def check(got: Run, expected: Run, atol: float = 1e-5) -> None:
    assert got[1] == expected[1]
    assert {outcome for outcome, _ in got[1]} == {"computed", "reused"}
    assert all(torch.allclose(a, b, atol=atol) for a, b in zip(got[0], expected[0], strict=True))


STATIC_KIND = (
    policy(steps=BitMask("110100", "static"), predict=Predict("taylor", 1)),
    policy(steps=BitMask("110110", "static"), predict=Predict("taylor", 2)),
    policy(predict=Predict("foca"), most=2),
    policy(0.1, signal=Signal("magnitude", accumulate="until_compute", ratios=RATIOS)),
)
"""Policies that take the same two kinds of steps."""
MEASURING_KIND = (
    policy(0.5, span="joined", most=2),
    policy(0.4, span="joined", predict=Predict("taylor", 1, repay=0.5)),
)


def test_there_is_a_graph_for_each_kind_of_step_and_no_more_for_another_policy() -> None:
    target, graphs, config = model(), Graphs(), torch._dynamo.config
    expected = [drive(target, target, one) for one in STATIC_KIND]
    call = torch.compile(target, backend=graphs, fullgraph=True)
    with config.patch(recompile_limit=1):  # fewer than there are kinds of steps
        for one, known in zip(STATIC_KIND, expected, strict=True):  # each attaches anew
            check(drive(target, call, one), known)
            assert len(graphs) == 2
        assert config.recompile_limit == 1
    with torch.no_grad():
        call(**inputs("flux", 0, STEPS))
        assert len(graphs) == 3, "the bare model has one graph again"
        torch.compile(model(), backend=graphs, fullgraph=True)(**inputs("flux", 0, STEPS))
    assert len(graphs) == 3, "another model of the class does not notice"
    assert not torch._dynamo.utils.counters["graph_break"]
    bare, largest = graphs.operations[-1], max(graphs.operations[:-1], key=lambda found: found.total())
    assert not bare - largest, "every operation of the bare model is in the graph of a computed step"
    assert (largest - bare).total() <= 20


def test_a_measuring_policy_has_no_break_and_pays_back_too() -> None:
    """Compiled in place, after it has run under the policy; an open step is tried as a reused one."""
    target, graphs = model(), Graphs()
    expected = [drive(target, target, one) for one in MEASURING_KIND]
    target.compile(backend=graphs, fullgraph=True)
    for one, known in zip(MEASURING_KIND, expected, strict=True):
        check(drive(target, target, one), known)
        assert len(graphs) == 2
    reasons = {reason for _, steps in expected for _, reason in steps}
    assert {"above", "below"} <= reasons, "some trials were right, and some were not"
    assert not torch._dynamo.utils.counters["graph_break"]


def test_two_lists_that_decide_apart_take_the_same_steps_and_every_value_is_reduced() -> None:
    one, target, graphs = policy(0.3), model(), Graphs()
    expected = drive(target, target, one)
    reduced = []

    def add_up(parts: torch.Tensor) -> torch.Tensor:
        reduced.append(parts)
        return parts

    check(drive(target, torch.compile(target, backend=graphs, fullgraph=True), one, Ranks(add_up)), expected)
    assert reduced
    assert not torch._dynamo.utils.counters["graph_break"]


def test_a_forward_that_runs_again_is_given_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """HunyuanDiT pops the residuals of a ControlNet off the caller's list; so does this model, its text."""
    one, target = policy(0.4, span="joined"), model()
    forward = type(target).forward

    def popping(self: Any, encoder_hidden_states: Any, **rest: Any) -> Any:
        return forward(self, encoder_hidden_states=encoder_hidden_states.pop(), **rest)

    monkeypatch.setattr(type(target), "forward", popping)

    def listed(call: Any) -> Any:
        def to_call(encoder_hidden_states: Any, **rest: Any) -> Any:
            given = [encoder_hidden_states]
            output = call(encoder_hidden_states=given, **rest)
            assert not given, "the caller sees what the model does to its list"
            return output

        return to_call

    expected = drive(target, listed(target), one)
    check(drive(target, listed(torch.compile(target, backend="eager", fullgraph=True)), one), expected)
    assert ("computed", "above") in expected[1], "a trial was wrong"


def test_what_cannot_be_a_view_says_so_once_and_is_right(caplog: pytest.LogCaptureFixture) -> None:
    one, target = policy(0.3, prune=Prune()), model(3)
    expected, outcomes = drive(target, target, one)
    call = torch.compile(target, backend="eager", fullgraph=True)
    with caplog.at_level(logging.WARNING, "cachedsl"):
        got, seen = drive(target, call, one)
    assert seen == outcomes
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert [record.message.count("compile_repeated_blocks()") for record in caplog.records] == [1]


def test_calls_that_stay_uncompiled_because_their_shapes_change_say_so_once(caplog: pytest.LogCaptureFixture) -> None:
    one, target = policy(), model(2)
    expected, outcomes = drive(target, target, one, sizes=(16, 12))
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cachedsl"):
        got, seen = drive(target, torch.compile(target, backend="eager", fullgraph=True), one, sizes=(16, 12))
    assert seen == outcomes
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    told = [record.message for record in caplog.records if "compile_repeated_blocks()" in record.message]
    assert len(told) == 1
    assert "shapes change" in told[0]


def test_a_torch_that_does_not_tell_what_is_compiled_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    target = model()
    expected = drive(target, target, STATIC_KIND[0])
    monkeypatch.setattr(gate, "_EVAL_FRAME", SimpleNamespace())
    with caplog.at_level(logging.WARNING, "cachedsl"):
        check(drive(target, target, STATIC_KIND[0]), expected)
    assert f"torch {torch.__version__} does not tell" in caplog.text


def test_inductor_agrees_with_eager() -> None:
    """Of one block, for it compiles C++."""
    one, target = policy(front=0, steps=BitMask("110100", "static")), tiny_transformer("dit", blocks=1)
    expected = drive(target, target, one, family="dit")
    check(drive(target, torch.compile(target, fullgraph=True), one, family="dit"), expected, 1e-4)


SAMPLE = {
    "MiniMaxMusic3Transformer1DModel": "one list",
    "CogVideoXTransformer3DModel": "two streams",
    "T5FilmDecoder": "blocks that return tuples, masks",
}
"""Differently built families; benchmarks/compile_table.py does the like with all of them."""


@pytest.mark.parametrize("name", SAMPLE)
def test_other_families_are_compiled_as_a_whole(name: str) -> None:
    found = under(ENTRIES[name], STATIC)
    assert found.whole, found
    assert found.graphs == 2


def test_a_list_that_a_call_leaves_out_does_not_keep_the_others_from_being_compiled() -> None:
    found = under(ENTRIES["Flux3Transformer2DModel/text_to_image"], STATIC)
    assert found.whole, found


def test_lists_that_take_turns_run_uncompiled_where_each_measures() -> None:
    """Latte's two lists: what one computes goes into the other at every block, so neither can be tried by itself."""
    measuring = under(ENTRIES["LatteTransformer3DModel"], MEASURING)
    assert measuring.off == 0.0
    assert measuring.same
    assert "its block lists take turns" in measuring.warned[0]
    assert under(ENTRIES["LatteTransformer3DModel"], STATIC).whole, "what is known beforehand stays in one graph"
