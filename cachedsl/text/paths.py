"""Paths as the file system means them, and why it refuses one."""

from __future__ import annotations

import os
from pathlib import Path


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path with all links followed; of a link that leads to itself, the link.

    `Path.resolve` raises on such a link before Python 3.13.
    """
    return Path(os.path.realpath(path))


def reason(error: Exception) -> str:
    """Return why a file cannot be had, without its path: the system's words, else the error's own."""
    said = error.strerror if isinstance(error, OSError) else None
    return (said or str(error)).lower()
