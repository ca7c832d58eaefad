"""A finding with the lines that it is about, a marker under the whole place, related places and the fix."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import islice

import click
from rich.cells import cell_len

from cachedsl.checking.report import Format, Report
from cachedsl.checking.statistics import as_lines
from cachedsl.text.edit import apply_edits
from cachedsl.text.finding import Finding, Fix, Span
from cachedsl.text.scalars import clamped
from cachedsl.text.tree import Document

LINES = 6
"""Lines of one place that are shown; of more, the first ones and the last."""
WIDTH = 160
"""Columns of a line that are shown; of a longer one, those around the place."""
COLOURS = {"error": "red", "warning": "yellow"}


def render(report: Report) -> Iterator[str]:
    """Yield the blocks of all findings, an empty line behind each."""
    for found in report.shown():
        yield from _block(report, found)
        yield ""


class _Painter:
    """Colours, where they are wanted."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def __call__(self, text: str, colour: str | None = None, bold: bool = False) -> str:
        return click.style(text, fg=colour, bold=bold or None) if self._wanted and text else text


def _block(report: Report, found: Finding) -> Iterator[str]:
    paint, colour = _Painter(report.colour), COLOURS[found.severity]
    yield f"{paint(f'{found.severity}[{found.code}]', colour, True)}: {paint(clamped(found.message), bold=True)}"
    gutter = len(str(_last_line(found)))
    yield from _place(report, found.span, gutter, paint, "^", colour)
    for related in found.related:
        yield f"{'':{gutter}} {paint('=', 'blue')} {clamped(related.message)}:"
        yield from _place(report, related.span, gutter, paint, "-", "blue")
    if found.hint:
        yield f"{'':{gutter}} {paint('=', 'blue')} {paint('help', bold=True)}: {clamped(found.hint)}"
    document = report.document(found.span.file)
    if found.fix is not None and document is not None:
        yield from _fix(found.fix, document, gutter, paint)
    yield f"{'':{gutter}} {paint('=', 'blue')} {paint('rule', bold=True)}: {found.rule.url}"


def _last_line(found: Finding) -> int:
    return max(span.end_line for span in (found.span, *(related.span for related in found.related)))


def _place(report: Report, span: Span, gutter: int, paint: _Painter, mark: str, colour: str) -> Iterator[str]:
    yield f"{'':{gutter}}{paint('-->', 'blue')} {clamped(str(span))}"
    document = report.document(span.file)
    if document is None or not document.text:
        return
    bar = paint("|", "blue")
    yield f"{'':{gutter}} {bar}"
    last = span.end_line - (span.end_column == 1 and span.end_line > span.line)
    numbers = list(range(span.line, last + 1))
    lines = [document.text[begin:end] for begin, end in document.lines.all()]
    for number in numbers:
        if len(numbers) > LINES and number == span.line + LINES - 1:
            yield f"{'...':{gutter}}"
        if len(numbers) > LINES and span.line + LINES - 1 <= number < last:
            continue
        if number > len(lines):
            break
        text = lines[number - 1]
        start = span.column - 1 if number == span.line else len(text) - len(text.lstrip())
        end = span.end_column - 1 if number == span.end_line else len(text)
        shown, before, width = _cut(text, start, max(end, start))
        yield f"{paint(f'{number:>{gutter}}', 'blue')} {bar} {shown}".rstrip()
        yield f"{'':{gutter}} {bar} {'':{before}}{paint(mark * width, colour, True)}"


def _cut(text: str, start: int, end: int) -> tuple[str, int, int]:
    """Return what is shown of a line, how many columns stand before the place in it, and how many the place has."""
    most = WIDTH + 1  # of each part; a line may be very long
    head, place, tail = map(_clean, (text[max(0, start - most) : start], text[start:end][:most], text[end:][:most]))
    if cell_len(head) + cell_len(place) + cell_len(tail) > WIDTH:
        if cell_len(head) > WIDTH // 3:
            head = f"...{head[-WIDTH // 4 :]}"
        place = f"{place[: WIDTH // 2]}..." if len(place) > WIDTH // 2 else place
        room = max(WIDTH - len(head) - len(place), 0)
        tail = f"{tail[:room]}..." if len(tail) > room else tail
    return f"{head}{place}{tail}", cell_len(head), max(cell_len(place), 1)


def _clean(text: str) -> str:
    return clamped(text.replace("\t", " "))


def _fix(fix: Fix, document: Document, gutter: int, paint: _Painter) -> Iterator[str]:
    """Show the lines that a fix changes, before and after."""
    safety = "fix" if fix.safe else "unsafe fix"
    yield f"{'':{gutter}} {paint('=', 'blue')} {paint(safety, 'green', True)}: {clamped(fix.title)}"
    try:
        changed = apply_edits(document.text, fix.edits)
    except ValueError:
        return
    first = min(edit.start for edit in fix.edits)
    begin = document.lines.begin(first)
    # Only what the edits touch is compared; a text may have many thousand lines.
    stop = document.lines.after(max(edit.end for edit in fix.edits))
    old = document.text[begin:stop].splitlines()
    new = changed[begin : len(changed) - (len(document.text) - stop)].splitlines()
    for sign, line, at in islice(_difference(old, new), 2 * LINES):
        shown, _, _ = _cut(line, at, at)
        yield paint(f"{'':{gutter}} {sign} {shown}".rstrip(), "red" if sign == "-" else "green")


def _difference(old: list[str], new: list[str]) -> Iterator[tuple[str, str, int]]:
    """Yield the lines that differ, each with its sign and where it begins to differ from the one in its place."""
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            pairs = zip(old[a:b], new[c:d], strict=False)
            same = [*(_same(one, other) for one, other in pairs), *[0] * abs((b - a) - (d - c))]
            yield from (("-", line, at) for line, at in zip(old[a:b], same, strict=False))
            yield from (("+", line, at) for line, at in zip(new[c:d], same, strict=False))


def _same(one: str, other: str) -> int:
    """Return with how many of the same characters two lines begin."""
    together = zip(one, other, strict=False)
    return next((at for at, (x, y) in enumerate(together) if x != y), min(len(one), len(other)))


FORMAT = Format(
    "full", "with the lines, the related places and the fix", render, for_people=True, shows_fixes=True, counts=as_lines
)
