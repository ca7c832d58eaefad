"""Code blocks of cache-dit's guides that split a model, on two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cachedsl.loading import parse_policy

pytest.importorskip("cachedsl.engines.parallel")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, "tests.compat.in_two"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    blocks: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
    return blocks


@pytest.mark.parametrize(
    ("name", "runtime"),
    [("ulysses", (2, 1, 1, True)), ("tensor", (1, 1, 2, False)), ("load_configs", (2, 1, 1, False))],
)
def test_a_block_runs_split_and_reuses_the_same_steps_everywhere(
    name: str, runtime: tuple[int, int, int, bool], found: dict[str, Any]
) -> None:
    text, reused = found[name][-1]
    parallel = parse_policy(text).runtime.parallel
    assert (parallel.ulysses, parallel.ring, parallel.tensor, parallel.uneven) == runtime
    assert sum(reused.values()) >= 2


def test_without_a_cache_config_a_model_is_split_and_not_cached(found: dict[str, Any]) -> None:
    assert found["load_configs"][0] == [None, {}]
