"""Files that a policy names: they lie in the policy's own tree, links followed first."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def beside(name: str, policy: Path) -> Path | Literal["missing", "outside"]:
    """Return the file that the relative path `name` means in `policy`, or why there is none."""
    try:
        path = (policy.parent / name).resolve()
        path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long a name, a link to itself, a NUL
        return "missing"
    inside = path.is_relative_to(tree_root(policy))
    if not inside:
        return "outside"
    return path if path.is_file() or Path(name).is_absolute() else "missing"


def tree_root(path: Path) -> Path:
    """Return the nearest folder above with `.git` or `pyproject.toml`, else the file's own."""
    for folder in path.parents:
        if is_root(folder):
            return folder
    return path.parent


def is_root(folder: Path) -> bool:
    """Tell whether a folder is the top of a repository or a project."""
    return (folder / ".git").exists() or (folder / "pyproject.toml").exists()
