"""Runs the reference once per group of cases, whichever test worker asks first."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest
import torch
from filelock import FileLock

from tests.differential.cases import Case, Result, StepResult

ROOT = Path(__file__).parents[2]
Reference = Callable[[Sequence[Case]], dict[str, Result]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Reference:
    """Return a function from cases to cache-dit's results by case name."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    known: dict[str, dict[str, Result]] = {}

    def results(cases: Sequence[Case]) -> dict[str, Result]:
        assert len({case.name for case in cases}) == len(cases)
        text = json.dumps([attrs.asdict(case) for case in cases])
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        if key not in known:
            folder = shared / f"cache-dit-{key}"
            with FileLock(f"{folder}.lock"):
                _run_once(text, folder)
            known[key] = _read(folder)
        return known[key]

    return results


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """Name this worker; pytest-xdist has a fixture of this name too, which is not there without xdist."""
    workerinput = getattr(request.config, "workerinput", None)
    return workerinput["workerid"] if workerinput else "master"


def _run_once(cases: str, folder: Path) -> None:
    """Run the reference if no worker has; a failure is remembered too, for it would only take its time again."""
    failure = folder.with_suffix(".failed")
    if failure.exists():
        raise RuntimeError(failure.read_text(encoding="utf-8"))
    if folder.exists():
        return
    try:
        _run(cases, folder)
    except Exception as error:
        failure.write_text(str(error), encoding="utf-8")
        raise


def _run(cases: str, folder: Path) -> None:
    started = folder.with_suffix(".part")
    started.mkdir(exist_ok=True)
    (started / "cases.json").write_text(cases, encoding="utf-8")
    script = [sys.executable, "-m", "tests.differential.reference_runner", str(started / "cases.json"), str(started)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"the reference failed:\n{done.stderr[-4000:]}")
    started.rename(folder)


def _read(folder: Path) -> dict[str, Result]:
    outputs = torch.load(folder / "outputs.pt", weights_only=True)
    steps = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
    return {
        name: Result(
            {
                (s, b): [StepResult(**step) for step in row]
                for s, branches in stacks.items()
                for b, row in branches.items()
            },
            outputs[name],
        )
        for name, stacks in steps.items()
    }
