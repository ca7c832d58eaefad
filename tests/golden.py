"""Compare with a committed file; `UPDATE_GOLDEN=1` writes it instead."""

from __future__ import annotations

import os
from pathlib import Path


def matches_golden(text: str, path: Path) -> None:
    """Assert that `path` holds `text`, exactly."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is not committed; run once with UPDATE_GOLDEN=1 and read what it wrote"
    assert text == path.read_text(encoding="utf-8")
