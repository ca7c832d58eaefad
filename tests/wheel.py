"""The wheel, built once for all tests of a run and all of their workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder that the workers of pytest-xdist have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def built_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with what is installed, from a copy of the tree without build leftovers; skip without git."""
    work = shared_folder(tmp_path_factory) / "wheel"
    with FileLock(f"{work}.lock"):
        if not (work / "dist").is_dir():
            _build(work)
    (found,) = (work / "dist").glob("*.whl")
    return found


def _build(work: Path) -> None:
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode != 0:
        pytest.skip("needs a git checkout to tell the project's files from others")
    for name in names.stdout.splitlines():
        source = ROOT / name
        if source.is_file() and not name.startswith("tests/"):
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(source.read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work / "made"), str(work)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (work / "made").rename(work / "dist")
