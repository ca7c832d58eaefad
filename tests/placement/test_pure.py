"""Placement needs no torch, and no module of the runtime is long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cachedsl

RUNTIME = Path(cachedsl.__file__).parent / "runtime"


def test_placing_imports_no_torch() -> None:
    code = "import sys, cachedsl.runtime.place; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_module_can_be_read_at_once() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in RUNTIME.glob("*.py")}
    assert not {name: length for name, length in lengths.items() if length > 400}
