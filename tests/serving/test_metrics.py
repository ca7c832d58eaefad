"""Finished runs are counted for Prometheus, under few labels."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from cachedsl import Policy
from cachedsl.language.parts import Compute, Reuse, Warmup
from cachedsl.runtime.finished import OUTCOMES, FinishedRun
from cachedsl.serving.metrics import RunMetrics
from cachedsl.serving.names import OTHER, FewNames
from tests.tiny import inputs, tiny_transformer

RUN = FinishedRun(0, None, "p", "Model", "completed", None, 2, (0.003, 0.02), 6, 8, 0.03, {"no-reuse": 1})


def samples(metrics: RunMetrics) -> dict[tuple[Any, ...], float]:
    """Return what the text says, as Prometheus' own parser reads it: name and labels → value."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_a_run_is_counted_under_its_policy() -> None:
    metrics = RunMetrics()
    metrics(RUN)
    metrics(evolve(RUN, outcome="aborted", step_seconds=(), blocks_computed=0, blocks_total=0, warnings={}))
    said, policy = samples(metrics), ("policy", "p")
    assert said["cachedsl_runs_total", ("outcome", "completed"), policy] == 1
    assert said["cachedsl_runs_total", ("outcome", "aborted"), policy] == 1
    assert said["cachedsl_blocks_total", ("did", "computed"), policy] == 6
    assert said["cachedsl_blocks_total", ("did", "reused"), policy] == 2
    assert (said["cachedsl_reused_share_count", policy], said["cachedsl_reused_share_sum", policy]) == (1, 0.25)
    assert said["cachedsl_step_seconds_bucket", ("le", "0.005"), policy] == 1
    assert said["cachedsl_step_seconds_bucket", ("le", "0.025"), policy] == 2
    assert said["cachedsl_step_seconds_sum", policy] == pytest.approx(0.023)
    assert said["cachedsl_warnings_total", ("code", "no-reuse")] == 1


def test_real_runs_are_counted_until_nobody_watches() -> None:
    model = tiny_transformer("wan", blocks=2)
    policy = Policy(name="often", compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always"))
    metrics = RunMetrics()
    with policy.apply(model) as cached, torch.no_grad():
        stop = metrics.watch(cached)
        for _ in range(2):
            with cached.run(steps=2):
                model(**inputs("wan", 0, 2))
                model(**inputs("wan", 1, 2))
            stop()
    said = samples(metrics)
    assert said["cachedsl_runs_total", ("outcome", "completed"), ("policy", "often")] == 1
    assert said["cachedsl_reused_share_sum", ("policy", "often")] == 0.25
    assert said["cachedsl_step_seconds_count", ("policy", "often")] == 2


@given(st.lists(st.text(), max_size=60), st.integers(1, 5))
def test_names_are_few_and_steady(names: list[str], most: int) -> None:
    few = FewNames(most)
    said = [few(name) for name in names]
    assert len(set(said) - {OTHER}) <= most
    assert all(one in (name, OTHER) for one, name in zip(said, names, strict=True))
    assert [few(name) for name in names if few(name) != OTHER] == [one for one in names if few(one) == one != OTHER]


def test_a_client_cannot_make_series_without_end() -> None:
    metrics = RunMetrics(most_policies=3)
    for number in range(100):
        metrics(evolve(RUN, policy=f"p{number}", outcome=OUTCOMES[number % 3]))
    policies = {dict(labels).get("policy") for _, *labels in samples(metrics)} - {None}
    assert policies == {"p0", "p1", "p2", OTHER}
    assert sum(v for (name, *_), v in samples(metrics).items() if name == "cachedsl_runs_total") == 100


def test_two_have_nothing_in_common_unless_asked() -> None:
    one, other = RunMetrics(), RunMetrics()
    one(RUN)
    assert samples(other) == {}
    registry = CollectorRegistry()
    RunMetrics(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        RunMetrics(registry)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        RunMetrics(most_policies=0)


def test_what_is_missing_is_said_in_one_line() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; import cachedsl.serving.metrics"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (
        "needs prometheus-client to count runs for Prometheus; install it with: pip install 'cachedsl[metrics]'"
        in (done.stderr.splitlines()[-1])
    )
