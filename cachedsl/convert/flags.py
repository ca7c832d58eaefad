"""Flags and keys among those of a whole command or file: the others are no matter of caching."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from cachedsl.convert.notes import BAD_OPTION, Note


def own(given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the known ones."""
    names = set(known)
    return {name: value for name, value in given.items() if name in names}


def misspelt(given: Mapping[str, Any], known: Iterable[str], engine: str) -> Iterator[Note]:
    """Yield a note for each name that is none of the known ones and looks like one."""
    names = list(known)
    for name in given:
        near = [] if name in names else get_close_matches(str(name), names, 1, cutoff=0.85)
        if near:
            message = f"{name}: {engine} has no such setting"
            yield Note(BAD_OPTION, (name,), message, f"did you mean `{near[0]}`?")
