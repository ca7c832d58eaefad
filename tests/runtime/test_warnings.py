"""A run that does nothing, or something else than planned, says so; the summary adds up."""

from __future__ import annotations

import json
import logging

import jsonschema
import pytest
import torch

from cachedsl import Adapter, StackAdapter, TransformerAdapter
from cachedsl.explain.schemas import trace_schema
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.trace import KEPT, RunRecord, Trace
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer


def test_a_run_without_reuse_warns_with_numbers(caplog: pytest.LogCaptureFixture) -> None:
    pipe = tiny_pipeline("dit")
    with (
        caplog.at_level(logging.WARNING, "cachedsl"),
        Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse(threshold=1e-9)).apply(pipe) as cached,
    ):
        call(pipe, 6)
        (warning,) = cached.trace.warnings()
        assert warning.code == "no-reuse"
        assert "nothing was reused: 4 steps were measured" in warning.message
        assert "threshold 1e-09" in warning.message
        assert cached.summary().warnings == (warning.message,)
        assert warning.message in caplog.text


def test_a_run_shorter_than_its_warmup_warns() -> None:
    pipe = tiny_pipeline("dit")
    with Policy(compute=Compute(1, 0)).apply(pipe) as cached:
        call(pipe, 4)
        (warning,) = cached.trace.warnings()
    assert "no step was open to it: all 4 were computed (no_history, warmup)" in warning.message


def test_threshold_zero_is_asked_for_and_does_not_warn() -> None:
    pipe = tiny_pipeline("dit")
    with Policy(compute=Compute(1, 0), reuse=Reuse(threshold=0.0)).apply(pipe) as cached:
        call(pipe, 4)
        assert cached.trace.warnings() == ()


def test_a_run_with_fewer_calls_than_steps_warns() -> None:
    model = tiny_transformer("dit")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold="always"))
    with policy.apply(model) as cached, torch.no_grad():
        with cached.run(steps=5):
            for i in range(3):
                model(**inputs("dit", i, 5))
        (warning,) = cached.trace.warnings()
    assert "called on 3 steps of a run of 5" in warning.message


def test_measurements_that_are_not_finite_are_computed_and_warned_of() -> None:
    model = tiny_transformer("dit")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold=0.5))
    with policy.apply(model, num_inference_steps=4) as cached, torch.no_grad():
        for i in range(4):
            arguments = inputs("dit", i, 4)
            if i == 2:
                arguments["hidden_states"] = arguments["hidden_states"] * float("nan")
            model(**arguments)
        records = cached.trace.steps()
        assert records[2].reason == "not_finite"
        assert records[2].outcome == "computed"
        assert any(
            w.code == "not-finite" and "measurements were not finite" in w.message for w in cached.trace.warnings()
        )
        lines = cached.trace.to_jsonl().splitlines()
        assert any('"nan"' in line for line in lines)
        for line in lines:
            jsonschema.validate(json.loads(line), trace_schema())
        again = Trace.from_jsonl(cached.trace.to_jsonl())
        assert again.to_jsonl() == cached.trace.to_jsonl()
        assert again.steps()[1] == records[1]


@pytest.mark.parametrize(("at", "cause"), [(1, "that step was computed"), (3, "that step was reused")])
def test_outputs_that_are_not_finite_are_warned_of(at: int, cause: str) -> None:
    model = tiny_transformer("dit")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse("always"), cfg=Cfg("fused"))
    with policy.apply(model, num_inference_steps=5) as cached, torch.no_grad():
        for i in range(5):
            arguments = inputs("dit", i, 5)
            if i >= at:
                arguments["hidden_states"] = arguments["hidden_states"] * float("inf")
            model(**arguments)
        (warning,) = (w for w in cached.trace.warnings() if w.code == "output-not-finite")
        assert f"not finite on {5 - at} steps, from step {at} " in warning.message
        assert cause in warning.message
        for i in range(5):
            model(**inputs("dit", i, 5))
        assert not cached.trace.warnings(run=1)


def test_the_summary_adds_up_and_prints_a_table() -> None:
    pipe = tiny_pipeline("flux")
    policy = Policy(name="half", compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse(threshold=1e6))
    with policy.apply(pipe) as cached:
        call(pipe, 4)
        summary = cached.summary()
    total = sum(len(getattr(pipe.transformer, n)) for n in ("transformer_blocks", "single_transformer_blocks")) * 4
    assert summary.blocks == total
    assert [(b.stack, b.steps, b.computed, b.reused) for b in summary.branches] == [
        ("transformer_blocks", 4, 2, 2),
        ("single_transformer_blocks", 4, 2, 2),
    ]
    assert all(b.percentiles is not None and b.percentiles[0] <= b.percentiles[2] for b in summary.branches)
    text = str(summary)
    assert "half: run 0, 4 steps" in text
    assert "transformer.single_transformer_blocks" in text
    assert f"blocks run: {summary.blocks_run} of {summary.blocks}" in text


def test_a_bare_model_whose_calls_are_declared_separate_but_made_once_a_step_is_told_the_way_out() -> None:
    model = tiny_transformer("wan")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold="always"), cfg=Cfg("separate"))
    with policy.apply(model) as cached, torch.no_grad():
        with cached.run(steps=6):
            for i in range(6):
                model(**inputs("wan", i, 6))
        (warning,) = cached.trace.warnings()
    assert "taken for cond and uncond in turn; if it is called once a step, set cfg: fused" in warning.message


def test_a_pipeline_that_calls_another_transformer_is_told_so() -> None:
    pipe, other = tiny_pipeline("dit"), tiny_transformer("dit")
    with Policy(compute=Compute(1, 0)).apply(pipe) as cached:
        call(pipe, 4)
        ours, pipe.transformer = pipe.transformer, other
        call(pipe, 4)
        summary = cached.summary()
        pipe.transformer = ours
    assert summary.run == 1
    assert not summary.branches
    assert "no transformer under the policy was called" in summary.warnings[0]


class Around(torch.nn.Module):
    """Its loop calls its blocks, but not through their list."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(4)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks._modules.values():
            x = block(x)
        return x


def test_a_loop_that_goes_past_the_list_is_told_so() -> None:
    adapter = Adapter(
        "around", {"Around": TransformerAdapter("fused", {"blocks": StackAdapter("hidden_only", "input")})}
    )
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold="always"))
    model = Around()
    with policy.apply(model, num_inference_steps=3, adapter=adapter) as cached, torch.no_grad():
        for _ in range(3):
            model(torch.ones(1, 2, 4))
        summary = cached.summary()
    assert any("no block of transformer.blocks was called through its list" in w for w in summary.warnings)


def test_a_trace_keeps_the_last_runs() -> None:
    trace = Trace()
    for run in range(5 * KEPT):
        trace.append(RunRecord(run, "p", 1))
    assert KEPT <= len(trace) <= 2 * KEPT
    assert next(iter(trace)).run >= 3 * KEPT
