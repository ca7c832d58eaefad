"""Files as they were at a revision of git, laid out in a folder so that policies find their parents and ratios."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
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


def why_none(where: Path) -> str:
    """Say why no revision by the name that was asked for is found from the folder `where`."""
    try:
        _git(where, "rev-parse", "--show-toplevel")
    except RevisionError as error:
        said = str(error)
        return "this folder is in no repository of git" if "not a git repository" in said else said.splitlines()[0]
    if _git(where, "rev-parse", "--is-shallow-repository").strip() == b"true":
        return "this clone is shallow: `git fetch --unshallow` gets what came before"
    return "`git log` lists the revisions of this repository"


def lay_out(revision: Revision, folder: Path) -> None:
    """Write every YAML and JSON file of a revision below `folder`, which ends the search for parents.

    Raises:
        RevisionError: git refused, or there are too many files.
    """
    blobs, links = _listed(revision)
    if len(blobs) + len(links) > MAX_FILES:
        count = len(blobs) + len(links)
        raise RevisionError(f"{revision.name} has {count} YAML and JSON files and links; at most {MAX_FILES} are read")
    (folder / ".git").touch()
    for path, data in _contents(revision, blobs):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    made = []
    for path, data in _contents(revision, links):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError, ValueError):
            (folder / path).symlink_to(os.fsdecode(data))
            made.append(folder / path)
    top = Path(os.path.realpath(folder))
    for link in made:
        if not Path(os.path.realpath(link)).is_relative_to(top):
            link.unlink()  # what is out of the repository is not of the revision


Entries = list[tuple[bytes, str]]


def _listed(revision: Revision) -> tuple[Entries, Entries]:
    """Return the files that may be policies, and all links, each with the name of its blob and its path."""
    blobs: Entries = []
    links: Entries = []
    for line in filter(None, _git(revision.top, "ls-tree", "-r", "-z", "--full-tree", revision.commit).split(b"\0")):
        head, _, name = line.partition(b"\t")
        mode, kind, blob = head.split()
        path = os.fsdecode(name)
        if mode == b"120000":
            links.append((blob, path))
        elif kind == b"blob" and path.endswith(SUFFIXES):
            blobs.append((blob, path))
    return blobs, links


def _contents(revision: Revision, entries: Entries) -> Iterator[tuple[str, bytes]]:
    if not entries:
        return
    told = _git(revision.top, "cat-file", "--batch", given=b"".join(blob + b"\n" for blob, _ in entries))
    at = 0
    for _, path in entries:
        end = told.index(b"\n", at)
        size = told[at:end].split()[-1]
        if not size.isdigit():
            raise RevisionError(f"{revision.name}: this clone lacks {path}; `git fetch --refetch` gets all files")
        yield path, told[end + 1 : end + 1 + int(size)]
        at = end + 1 + int(size) + 1


def _git(where: Path, *arguments: str, given: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(where), *arguments], input=given, capture_output=True)
    except FileNotFoundError:
        raise RevisionError("git is not installed, so that no revision can be read") from None
    if done.returncode:
        raise RevisionError(f"git {arguments[0]}: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout
