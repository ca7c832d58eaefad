"""The pytest plugin in real pytest runs of a folder of its own, and what its assertions say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachedsl.testing import assert_plan, assert_reused
from cachedsl.trace import RunRecord, StepRecord, Trace

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
from cachedsl import load_policy
from cachedsl.testing import assert_plan, assert_reused

def draw(pipe):
    with load_policy("F1B0_W2_R0.5").apply(pipe) as cached:
        pipe(class_labels=[3], num_inference_steps=6, output_type="np")
    return cached

def test_holds(cachedsl_pipeline):
    cached = draw(cachedsl_pipeline)
    assert_plan(cached.plan(6), never_reuses_before=2, measures=range(2, 6), always_runs=[0])
    assert_reused(cached, at_least=1)

def test_does_not_hold(cachedsl_pipeline):
    assert_reused(draw(cachedsl_pipeline), steps=[0])
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in `folder`, with the entry points that pyproject.toml declares."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    info = folder / "site" / "cachedsl-0.1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cachedsl\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[pytest11]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    environment = {**os.environ, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_suite_uses_the_fixture_and_the_assertions(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(SUITE)
    done = run(tmp_path, "test_mine.py")
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "step 0: expected reused, was computed" in done.stdout
    assert "cachedsl/testing/runs.py" not in done.stdout, "the traceback ends in the test"


def test_a_run_that_does_not_use_it_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    assert 'cachedsl.testing.plugin' in sys.modules\n"
        "    heavy = {'torch', 'diffusers', 'numpy', 'yaml', 'attrs', 'cachedsl.loading', 'cachedsl.testing.plans'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    done = run(tmp_path, "-p", "no:hypothesispytest", "test_other.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plan_that_does_not_hold_says_everything() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_plan("f8b0", "flux", 28, computes=[27], reuses=[0, 1], measures=[9], always_runs=[0, -1], max_cost=0.5)
    said = str(caught.value)
    for part in (
        "step 27: expected computed, is measured",
        "steps 0-1: expected reused, is computed (",
        "expected to always run",
        "expected at most 50.0%",
        "11111111????",
    ):
        assert part in said, said
    assert "step 9" not in said


def test_a_plan_is_compared_with_its_golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = tmp_path / "plans" / "mine.json"
    monkeypatch.delenv("UPDATE_GOLDEN", raising=False)
    with pytest.raises(AssertionError, match="run once with UPDATE_GOLDEN=1"):
        assert_plan("f8b0", "flux", 28, golden=golden)
    with monkeypatch.context() as patch:
        patch.setenv("UPDATE_GOLDEN", "1")
        assert_plan("f8b0", "flux", 28, golden=golden)
    assert_plan("f8b0", "flux", 28, golden=golden)
    with pytest.raises(AssertionError, match=r"reuse\.threshold: 0\.08 → 0\.2"):
        assert_plan("F8B0_W8_R0.2", "flux", 28, golden=golden)


def trace() -> Trace:
    rows = [
        StepRecord(0, "transformer", stack, branch, step, "reused" if step == 2 else "computed", "why", None, 1, 2)
        for stack in ("a", "b")
        for branch in ("cond", "uncond")
        for step in range(4)
    ]
    return Trace([RunRecord(0, "p", 4), *rows])


def test_what_a_run_reused() -> None:
    assert len(assert_reused(trace(), steps=[2], at_least=1, at_most=1)) == 16
    assert len(assert_reused(trace(), [2], stack="transformer.a", branch="cond")) == 4
    with pytest.raises(AssertionError) as caught:
        assert_reused(trace(), [1, 9], at_least=2, stack="a", branch="cond")
    for part in (
        "step 1: expected reused, was computed (why)",
        "step 2: expected computed, was reused",
        "step 9: expected reused, but the run has no such step",
        "at least 2 reused steps, got 1",
        "1101",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "nothing is asserted"),
        ({"steps": [-1]}, "got -1"),
        ({"steps": [], "run": 7}, "no run 7; there are 0"),
        ({"steps": [], "stack": "c"}, "there are transformer.a"),
        ({"steps": [], "branch": "x"}, "there are transformer"),
    ],
)
def test_what_cannot_be_asserted_of_a_run_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        assert_reused(trace(), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "nothing is asserted"),
        ({"computes": [28]}, "from 0 to 27, got 28"),
        ({"always_runs": [99]}, "got 99"),
        ({"max_cost": 50}, "share from 0 to 1"),
        ({"computes": [0], "stack": "nope"}, "there are transformer"),
        ({"never_reuses_before": 0}, "from 1 to 28"),
    ],
)
def test_what_cannot_be_asserted_of_a_plan_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        assert_plan("f8b0", "flux", 28, **arguments)  # type: ignore[arg-type]
