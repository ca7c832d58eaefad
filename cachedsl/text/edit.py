"""Change a text by edits, and make edits that change one value, key or entry of a document and nothing else."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from cachedsl.text.entries import CannotEdit, insert_entry, remove_entry, rename_key, replace_value
from cachedsl.text.finding import Edit, Finding
from cachedsl.text.scalars import quoted, written

__all__ = [
    "CannotEdit",
    "apply_edits",
    "apply_fixes",
    "insert_entry",
    "quoted",
    "remove_entry",
    "rename_key",
    "replace_value",
    "written",
]

_Key = tuple[int, int, str]


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return `text` with the edits made. Their order does not matter, and equal ones count once.

    Raises:
        ValueError: two edits overlap, or insert different texts at the same place, or one reaches beyond the text.
    """
    done: list[str] = []
    last: _Key | None = None
    at = 0
    for key in sorted({_key(edit) for edit in edits}):
        start, end, new = key
        if not 0 <= start <= end <= len(text):
            raise ValueError(f"{_named(key)} reaches beyond the text, which has {len(text)} characters")
        if last is not None and _clash(last, key):
            raise ValueError(f"{_named(last)} and {_named(key)} overlap")
        done += (text[at:start], new)
        at, last = end, key
    return "".join([*done, text[at:]])


def apply_fixes(text: str, findings: Iterable[Finding], unsafe: bool = False) -> tuple[str, tuple[Finding, ...]]:
    """Make the fixes of the findings of one text, in file order; return the new text and what was fixed.

    A fix that overlaps an earlier one is left out, and so is one that is not safe unless `unsafe`.
    """
    made: list[_Key] = []
    applied: list[Finding] = []
    for found in sorted(findings, key=lambda found: (found.span.start, found.span.line, found.span.column)):
        fix = found.fix
        if fix is None or not (fix.safe or unsafe):
            continue
        added: list[_Key] = []
        for key in map(_key, fix.edits):
            at = bisect_left(made, key)
            if at < len(made) and made[at] == key:
                continue
            fits = 0 <= key[0] <= key[1] <= len(text)
            if not fits or (at and _clash(made[at - 1], key)) or (at < len(made) and _clash(key, made[at])):
                break
            insort(made, key)
            added.append(key)
        else:
            applied.append(found)
            continue
        for key in added:
            made.remove(key)
    return apply_edits(text, (Edit(*key) for key in made)), tuple(applied)


def _key(edit: Edit) -> _Key:
    return edit.start, edit.end, edit.text


def _named(key: _Key) -> str:
    return f"the edit of {key[0]} to {key[1]} into {key[2]!r}"


def _clash(one: _Key, other: _Key) -> bool:
    """Say whether two different edits, in order, touch the same characters or insert at the same place."""
    return other[0] < one[1] or one[:2] == other[:2]
