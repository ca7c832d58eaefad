"""Make the fixes of a file, as long as they leave nothing worse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import unified_diff

from attrs import frozen

from cachedsl.checking.check import Checked
from cachedsl.checking.sources import Source, source_of_text
from cachedsl.text.edit import apply_fixes
from cachedsl.text.finding import Finding

ROUNDS = 10
"""How often a file is looked at again: a fix may make room for the next one."""

Look = Callable[[Source], Checked]
"""Checks a text anew, and leaves out what is not to be shown."""


@frozen
class Fixed:
    """A file after its fixes: the text, what is left to find, and what was mended."""

    text: str
    checked: Checked
    applied: tuple[Finding, ...]


def fix_source(checked: Checked, look: Look, unsafe: bool) -> Fixed | None:
    """Return a file with its fixes made, and nothing written; None where there is nothing to mend.

    A fix after which an error is found that was not there before is left out, with all others of its round.
    """
    source = checked.source
    if source is None:
        return None
    text, applied, now = source.document.text, list[Finding](), checked
    for _ in range(ROUNDS):
        mine = [found for found in now.findings if found.span.file == source.file]
        changed, made = apply_fixes(text, mine, unsafe)
        if changed == text:
            break
        after = look(source_of_text(changed, source))
        if _errors(after.findings) - _errors(now.findings):
            break
        text, now = changed, after
        applied += made
    return Fixed(text, now, tuple(applied)) if applied else None


def difference(file: str, old: str, new: str) -> str:
    """Return the change of a file as `diff -u` writes it."""
    lines = unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), file, file)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _errors(findings: Sequence[Finding]) -> set[tuple[str, str]]:
    return {(found.code, found.message) for found in findings if found.severity == "error"}
