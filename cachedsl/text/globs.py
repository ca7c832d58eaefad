"""Patterns of paths, which mean the same under every version of Python: `*`, `?`, `[...]`, and `**` for any folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

SIGNS = "*?["
FOLDERS = "**"


def is_pattern(text: str) -> bool:
    """Return whether a path has signs of a pattern."""
    return any(sign in text for sign in SIGNS)


def path_matches(path: PurePath, pattern: str) -> bool:
    """Return whether a relative path is one that a pattern means, whether or not it is there.

    `**` as a whole part is any number of folders, also none; at the end it is anything below. Hidden files and folders
    are meant only by parts without signs.
    """
    return _match(path.parts, _parts(pattern))


def files_that_match(root: Path, pattern: str) -> Iterator[Path]:
    """Yield the files below `root` that a pattern means, relative to it, sorted. Folders that are links are not entered
    for `**`."""
    yield from sorted(set(_find(root, Path(), _parts(pattern))))


def _parts(pattern: str) -> tuple[str, ...]:
    parts = PurePath(pattern).parts
    return (*parts, "*") if parts[-1:] == (FOLDERS,) else parts


def _match(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not parts or not pattern:
        return not parts and not pattern
    if pattern[0] == FOLDERS:
        return _match(parts, pattern[1:]) or (not parts[0].startswith(".") and _match(parts[1:], pattern))
    return _part_matches(parts[0], pattern[0]) and _match(parts[1:], pattern[1:])


def _part_matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) and not name.startswith(".") if is_pattern(pattern) else name == pattern


def _find(root: Path, at: Path, pattern: tuple[str, ...]) -> Iterator[Path]:
    if not pattern:
        return
    first, rest = pattern[0], pattern[1:]
    if not is_pattern(first):
        if rest:
            yield from _find(root, at / first, rest)
        elif (root / at / first).is_file():
            yield at / first
        return
    if first == FOLDERS:
        yield from _find(root, at, rest)
    for entry in _entries(root / at):
        if first == FOLDERS:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _find(root, at / entry.name, pattern)
        elif _part_matches(entry.name, first):
            if rest and entry.is_dir():
                yield from _find(root, at / entry.name, rest)
            elif not rest and entry.is_file():
                yield at / entry.name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder; nothing where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
