"""Where the lines of a text begin and end."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from cachedsl.text.finding import Span

BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
BOM = "\ufeff"
BLANKS = " \t\r\n\x85\u2028\u2029"


class Lines:
    """The lines of a text as YAML counts them. A byte order mark before the first one is no column."""

    def __init__(self, text: str, file: str) -> None:
        """Find the line breaks of `text`, which spans call `file`."""
        self.file = file
        self._begins = [len(BOM) if text.startswith(BOM) else 0]
        self._ends = []
        for found in BREAK.finditer(text):
            self._ends.append(found.start())
            self._begins.append(found.end())
        self._ends.append(len(text))

    def _index(self, offset: int) -> int:
        return max(bisect_right(self._begins, offset) - 1, 0)

    def all(self) -> Iterator[tuple[int, int]]:
        """Yield where each line begins and ends, its line break left out."""
        return zip(self._begins, self._ends, strict=True)

    def begin(self, offset: int) -> int:
        """Return where the line with the character at `offset` begins."""
        return self._begins[self._index(offset)]

    def end(self, offset: int) -> int:
        """Return where the line with the character at `offset` ends, before its line break."""
        return self._ends[self._index(offset)]

    def after(self, offset: int) -> int:
        """Return where the next line begins; the text's end where there is none."""
        index = self._index(offset) + 1
        return self._begins[index] if index < len(self._begins) else self._ends[-1]

    def span(self, start: int, end: int | None = None) -> Span:
        """Return the span from offset `start` up to `end`; without `end`, a place between two characters."""
        end = start if end is None else max(start, end)
        first = self._index(start)
        last = self._index(end)
        column = max(start - self._begins[first], 0) + 1
        return Span(self.file, first + 1, column, last + 1, max(end - self._begins[last], 0) + 1, start, end)


def before(text: str, offset: int, comments: Sequence[tuple[int, int]]) -> int:
    """Return the end of what stands in `text` before `offset`, blanks and comments aside."""
    index = bisect_left(comments, (offset, 0)) - 1
    while True:
        while offset > 0 and text[offset - 1] in BLANKS:
            offset -= 1
        while index >= 0 and comments[index][1] > offset:
            index -= 1
        if index < 0 or comments[index][1] != offset:
            return offset
        offset = comments[index][0]
