"""Blocks of the guides run by cache-dit itself, in a process of its own, and by the interface here: one result.

Pipelines without a `BlockAdapter`: which lists are cached, and how guidance is counted, is left to each side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import cachedsl.compat.cache_dit as compat
from tests import tiny
from tests.compat import models
from tests.compat.test_blocks import BLOCKS, with_imports_of

ROOT = Path(__file__).parents[2]
NAMES = ("dbcache", "dbprune", "separate_cfg", "wan22_moe")

_THEIRS = """
import json, logging, sys
import cache_dit, torch
from tests import tiny
from tests.compat import models
logging.disable(logging.WARNING)
torch.set_num_threads(1)
found = {}
def look(one):
    return [one.cached_steps, one.cfg_cached_steps, dict(one.residual_diffs), dict(one.cfg_residual_diffs)]
def run(pipe, steps=11, **arguments):
    output = tiny.call(pipe, steps, **arguments)
    count = 2 if getattr(pipe, "transformer_2", None) is not None else 1
    steps = [look(one) for one in cache_dit.summary(pipe, logging=False)[-count:]]
    found.setdefault(name, []).append([steps, output.double().flatten()[:64].tolist()])
    return output
models.run = run
for path in sys.argv[2:]:
    name = path.rsplit("/", 1)[-1][:-3]
    models._MADE.clear()
    exec(compile(open(path).read(), path, "exec"), {"__name__": name})
json.dump(found, open(sys.argv[1], "w"))
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    at = tmp_path_factory.mktemp("theirs") / "found.json"
    paths = [str(path) for path in BLOCKS if path.stem in NAMES]
    environment = {**os.environ, "CACHE_DIT_LOG_LEVEL": "error", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", _THEIRS, str(at), *paths]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(at.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_pipeline_reuses_the_same_steps_and_gives_the_same_image(
    name: str, theirs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    found: list[Any] = []

    def run(pipe: Any, steps: int = 11, **arguments: Any) -> torch.Tensor:
        output = tiny.call(pipe, steps, **arguments)
        whole = {one.cache_options["name"].split(".")[0]: one for one in compat.summary(pipe, logging=False)}
        steps_of = [
            [one.cached_steps, one.cfg_cached_steps, one.residual_diffs, one.cfg_residual_diffs]
            for one in whole.values()
        ]
        found.append([steps_of, output.double().flatten()[:64].tolist()])
        return output

    monkeypatch.setattr(models, "run", run)
    models._MADE.clear()
    (path,) = (path for path in BLOCKS if path.stem == name)
    source = with_imports_of(path.read_text(encoding="utf-8"), "cachedsl.compat.cache_dit")
    exec(compile(source, str(path), "exec"), {"__name__": name})
    assert len(found) == len(theirs[name])
    for (mine, output), (other, expected) in zip(found, theirs[name], strict=True):
        assert [one[:2] for one in mine] == [one[:2] for one in other]
        for one, two in zip(mine, other, strict=True):
            for values, measured in zip(one[2:], two[2:], strict=True):
                assert values.keys() == measured.keys()
                for step, value in values.items():
                    assert value == pytest.approx(measured[step], rel=1e-4)
        assert output == pytest.approx(expected, rel=1e-4, abs=1e-5)
    reused = any(steps for mine, _ in found for one in mine for steps in one[:2])
    assert reused == (name in ("dbcache", "dbprune"))
