"""Who asked is told of every finished run once, by callback and by log; nobody else pays for it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from attrs import evolve

from cachedsl import Policy
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.runtime.finished import FinishedRun
from cachedsl.trace import RunRecord
from tests.tiny import inputs, tiny_pipeline, tiny_transformer

POLICY = Policy(name="often", compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always"))


def take(model: Any, step: int, steps: int, branches: tuple[str, ...] = ("cond",)) -> None:
    with torch.no_grad():
        for branch in branches:
            model(**inputs("wan", step, steps, branch))


def test_a_run_is_told_of_with_its_figures() -> None:
    told: list[FinishedRun] = []
    model = tiny_transformer("wan", blocks=4)
    with POLICY.apply(model) as cached:
        cached.on_run(told.append)
        with cached.run(steps=3):
            for step in range(3):
                take(model, step, 3, ("cond", "uncond"))
            assert told == []
        summary = cached.summary()
    (run,) = told
    assert (run.policy, run.model, run.number, run.id) == ("often", "WanTransformer3DModel", 0, None)
    assert (run.outcome, run.reason, run.steps, run.planned_steps) == ("completed", None, 3, 3)
    assert (run.blocks_computed, run.blocks_total) == (summary.blocks_run, summary.blocks) == (2 * (4 + 1 + 1), 24)
    assert run.reused_share == 0.5
    assert 0 < sum(run.step_seconds) <= run.seconds
    assert run.warnings == {}


def test_interleaved_runs_are_told_of_when_they_are_over_and_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("cachedsl.runtime.finished.perf_counter", lambda: now[0])
    told: list[FinishedRun] = []
    model = tiny_transformer("wan", blocks=2)
    with POLICY.apply(model) as cached:
        cached.on_run(told.append)
        for step in range(3):
            for name, seconds in (("a", 1.0), ("b", 10.0)):
                if (name, step) == ("b", 2):
                    continue
                with cached.run(steps=3, id=name):
                    take(model, step, 3)
                    now[0] += seconds
                now[0] += 100
        assert [(run.id, run.outcome, run.seconds) for run in told] == [("a", "completed", 3.0)]
        cached.end("b")
        assert not cached.end("b")
    assert [(run.id, run.outcome, run.steps, run.seconds) for run in told[1:]] == [("b", "aborted", 2, 20.0)]
    assert told[1].warnings == {"calls-differ": 1}


def test_a_failed_run_is_told_of_once_with_its_reason() -> None:
    told: list[FinishedRun] = []
    model = tiny_transformer("wan", blocks=2)
    with POLICY.apply(model) as cached, torch.no_grad():
        cached.on_run(told.append)
        with cached.run(steps=3, id="y"):
            take(model, 0, 3)
        with pytest.raises(KeyError), cached.run(id="y"):
            raise KeyError
        with pytest.raises(TypeError), cached.run(steps=3, id="x"):
            model(no_such_argument=1)
        with pytest.raises(RuntimeError), cached.run(steps=3):
            model(**{**inputs("wan", 0, 3), "encoder_hidden_states": torch.zeros(1, 2, 3)})
        with cached.run(steps=3, id="left"):
            take(model, 0, 3)
    assert [(run.outcome, run.reason) for run in told] == [
        ("failed", "KeyError"),
        ("failed", "exception in the transformer"),
        ("failed", "exception in the transformer"),
        ("aborted", None),
    ]


def test_a_pipeline_and_runs_that_begin_by_themselves_are_told_of() -> None:
    told: list[FinishedRun] = []
    pipe = tiny_pipeline("dit", blocks=2)
    with POLICY.apply(pipe) as cached:
        cached.on_run(told.append)
        pipe(class_labels=[1], num_inference_steps=4, output_type="np")
    model = tiny_transformer("wan", blocks=2)
    with evolve(POLICY, cfg=Cfg("fused")).apply(model, num_inference_steps=2) as cached:
        cached.on_run(told.append)
        for step in (0, 1, 0):
            take(model, step, 2)
        cached.summary()
    assert [(run.model, run.outcome, run.steps) for run in told] == [
        ("DiTPipeline", "completed", 4),
        ("WanTransformer3DModel", "completed", 2),
        ("WanTransformer3DModel", "aborted", 1),
    ]
    assert all(0 < sum(run.step_seconds) <= run.seconds for run in told)


def test_a_listener_may_go_and_may_raise(caplog: pytest.LogCaptureFixture) -> None:
    told: list[FinishedRun] = []
    model = tiny_transformer("wan", blocks=2)
    with POLICY.apply(model) as cached:

        def one() -> None:
            with cached.run(steps=1):
                take(model, 0, 1)

        def raising(run: FinishedRun) -> None:
            raise ValueError("of the listener")

        cached.on_run(raising)
        stop, stop_too = cached.on_run(told.append), cached.on_run(told.append)
        one()
        assert len(told) == 2
        assert "a callback of on_run raised at run 0" in caplog.text
        assert "of the listener" in caplog.text
        stop()
        stop()
        one()
        assert len(told) == 3
        stop_too()
        one()
        assert len(told) == 3


def test_a_finished_run_leaves_one_structured_record(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_transformer("wan", blocks=2)
    caplog.set_level(logging.INFO, "cachedsl.run")
    with POLICY.apply(model) as cached, cached.run(steps=2, id="mine"):
        take(model, 0, 2)
        take(model, 1, 2)
    (record,) = [one for one in caplog.records if one.name == "cachedsl.run"]
    assert record.levelno == logging.INFO
    expected = {
        "policy": "often",
        "model": "WanTransformer3DModel",
        "run": 0,
        "run_id": "mine",
        "outcome": "completed",
        "aborted": False,
        "reason": None,
        "steps": 2,
        "planned_steps": 2,
        "blocks_computed": 3,
        "blocks_total": 4,
        "reused_share": 0.25,
        "warnings": {},
    }
    assert {name: getattr(record, name) for name in expected} == expected
    assert record.__dict__["seconds"] > 0
    assert record.getMessage().startswith("WanTransformer3DModel under often: completed, 2 steps in 0.")


def test_nothing_is_counted_where_nobody_listens() -> None:
    model = tiny_transformer("wan", blocks=2)
    with POLICY.apply(model) as cached, cached.run(steps=1):
        take(model, 0, 1)
        (run,) = cached._session.all_runs()
        assert run.tally is None


def test_a_long_run_among_many_short_ones_keeps_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachedsl.trace.KEPT", 10)
    model = tiny_transformer("wan", blocks=2)
    short = evolve(POLICY, name="short")
    with POLICY.apply(model) as cached:
        for step in range(4):
            with cached.run(steps=4, id="long"):
                take(model, step, 4)
            if step == 1:
                for number in range(30):
                    with cached.using(short), cached.run(steps=2, id=number):
                        take(model, 0, 2)
                        take(model, 1, 2)
        assert [s.step for s in cached.trace.steps(run=0)] == [0, 1, 2, 3]
        assert cached.trace.warnings(run=0) == ()
        assert len({r.run for r in cached.trace if isinstance(r, RunRecord)}) <= 21
