"""Paths as the file system means them."""

from __future__ import annotations

import os
from pathlib import Path


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path with all links followed; of a link that leads to itself, the link.

    `Path.resolve` raises on such a link before Python 3.13.
    """
    return Path(os.path.realpath(path))
