"""Files as they were at a revision of git, laid out in a folder so that policies find their parents and ratios."""

from __future__ import annotations

import subprocess
from pathlib import Path

from attrs import frozen

from cachedsl.text.finding import CachedslError

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILES = 20_000


class RevisionError(CachedslError):
    """A revision, or a path in it, cannot be had; the message says why."""


@frozen
class Revision:
    """A commit of the repository at `top`, as the user named it."""

    top: Path
    name: str
    commit: str


def find_revision(name: str, where: Path) -> Revision | None:
    """Return the revision called `name` in the repository around the folder `where`; None where there is none."""
    if not name or name.startswith("-") or "\0" in name:
        return None
    try:
        top = _git(where, "rev-parse", "--show-toplevel").decode().rstrip("\n")
        commit = _git(where, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode()
    except RevisionError:
        return None
    return Revision(Path(top), name, commit.strip())


def lay_out(revision: Revision, folder: Path) -> None:
    """Write every YAML and JSON file of a revision below `folder`, which ends the search for parents.

    Raises:
        RevisionError: git refused, or there are too many files.
    """
    listed = _git(revision.top, "ls-tree", "-r", "-z", "--full-tree", revision.commit).split(b"\0")
    files: list[tuple[bytes, str]] = []
    for line in filter(None, listed):
        head, _, name = line.partition(b"\t")
        mode, kind, blob = head.split()
        path = name.decode("utf-8", "surrogateescape")
        if kind == b"blob" and mode != b"120000" and path.endswith(SUFFIXES):
            files.append((blob, path))
    if len(files) > MAX_FILES:
        raise RevisionError(f"{revision.name} has {len(files)} YAML and JSON files; at most {MAX_FILES} are read")
    (folder / ".git").touch()
    if not files:
        return
    told = _git(revision.top, "cat-file", "--batch", given=b"".join(blob + b"\n" for blob, _ in files))
    at = 0
    for _, path in files:
        end = told.index(b"\n", at)
        size = int(told[at:end].split()[2])
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(told[end + 1 : end + 1 + size])
        at = end + 1 + size + 1


def _git(where: Path, *arguments: str, given: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(where), *arguments], input=given, capture_output=True)
    except FileNotFoundError:
        raise RevisionError("git is not installed, so that no revision can be read") from None
    if done.returncode:
        raise RevisionError(f"git {arguments[0]}: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout
