"""What annotations have in common: short messages, and paths as the repository has them."""

from __future__ import annotations

import os
from pathlib import Path

from cachedsl.text.finding import Finding
from cachedsl.text.scalars import printable

LONGEST = 160
"""Characters of a message that is shown in the margin of a page."""


def short_message(found: Finding) -> str:
    """Return the message with the way out, as long as both are short; else it says where the rest is told."""
    message = printable(found.message)
    if len(message) > LONGEST:
        message = f"{message[: LONGEST - 3]}..."
    if not found.hint:
        return message
    whole = f"{message} ({printable(found.hint)})"
    if len(whole) <= LONGEST:
        return whole
    first = printable(found.hint).partition("? ")
    if first[1] and len(message) + len(first[0]) < LONGEST:
        return f"{message} ({first[0]}?; see `cachedsl rule {found.code}`)"
    return f"{message} (see `cachedsl rule {found.code}`)"


def workspace_path(file: str) -> str:
    """Return a path as from the top of the repository, with forward slashes; as it is where it lies elsewhere.

    The top is what the service that runs the check says, else the current folder.
    """
    if file.startswith("<"):
        return file
    top = os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR") or os.curdir
    relative = os.path.relpath(file, top)
    return Path(file if relative.startswith("..") else relative).as_posix()
