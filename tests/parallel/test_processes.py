"""Policies over real process groups of two and of four, on gloo: all processes decide alike, and as one would.

The processes start once, run all cases, and write what came of each; a test looks one of them up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from cachedsl.engines import EngineRefused
from cachedsl.signals import Ranks
from tests.parallel import four, killed, launch, two
from tests.parallel.common import flux, over, policy
from tests.parallel.world import TIMEOUT
from tests.wheel import ROOT, shared_folder

CASES = [("two", name) for name in two.CASES] + [("four", name) for name in four.CASES]
PATIENCE = 500


def worlds(factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which all worlds have told what came of their cases; one worker of the run starts them."""
    folder = shared_folder(factory) / "worlds"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            command = [sys.executable, "-m", "tests.parallel.launch", str(folder)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
            with (folder / "log").open("w") as log:
                subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, timeout=PATIENCE)
    return folder


@pytest.mark.parametrize(("world", "case"), CASES)
def test_processes(world: str, case: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = worlds(tmp_path_factory) / world
    for rank in range(launch.WORLDS[world][0]):
        told = folder / f"rank{rank}.json"
        assert told.exists(), "\n".join(log.read_text("utf-8")[-3000:] for log in folder.glob("log*"))
        found = json.loads(told.read_text("utf-8"))
        assert case in found, f"rank {rank} did not come to it"
        assert found[case]["error"] is None, f"rank {rank}: {found[case]['error']}"


def test_a_process_that_dies_ends_the_other_with_an_error_within_the_group_s_timeout(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = worlds(tmp_path_factory)
    assert json.loads((folder / "codes.json").read_text("utf-8"))["killed"] == [0, killed.DEAD]
    told = json.loads((folder / "killed" / "survivor.json").read_text("utf-8"))
    assert told["calls"] == killed.DIES_AT, "it is told in the call that the other did not make"
    assert told["seconds"] < TIMEOUT.total_seconds()
    assert told["error"]


def test_without_a_process_group_it_is_refused_and_torchrun_is_named() -> None:
    model = flux()
    with pytest.raises(EngineRefused) as error:
        over(policy(), ulysses=2, ring=3).apply(model)
    assert "ulysses 2 × ring 3 needs 6 processes, and this one is in no process group" in str(error.value)
    assert "torchrun --nproc-per-node 6" in str(error.value)
    assert model._parallel_config is None
    over(policy(), ulysses=1).apply(model).remove()


def test_a_group_beside_the_policy_s_own_split_is_refused() -> None:
    with pytest.raises(TypeError, match="leave one of the two out"):
        over(policy(), ulysses=2).apply(flux(), group=Ranks(lambda parts: parts))


def test_a_policy_that_takes_over_asks_for_no_other_models() -> None:
    asked = r"asks for runtime\.parallel as policy 'policy' does not"
    with policy().apply(flux()) as cached:
        with pytest.raises(EngineRefused, match=asked), cached.using(over(policy(), ulysses=2)):
            pass
        with cached.using(policy(0.5)):
            assert cached.policy == policy(0.5)


def test_a_group_must_be_one() -> None:
    model = flux()
    with pytest.raises(
        EngineRefused, match=r"expected a torch\.distributed\.ProcessGroup or a cachedsl\.engines\.Ranks, got str"
    ):
        policy().apply(model, group="world")
    policy().apply(model).remove()
