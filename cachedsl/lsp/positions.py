"""Offsets of a text as the positions of the Language Server Protocol, and back.

The protocol (3.17, section "Position") knows three line breaks, fewer than YAML, and counts a line's characters in the
units that client and server agreed on: UTF-16 by default.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from lsprotocol.types import Position, PositionEncodingKind, Range

_BREAK = re.compile("\r\n|[\r\n]")
_CODECS = {PositionEncodingKind.Utf16: ("utf-16-le", 2), PositionEncodingKind.Utf8: ("utf-8", 1)}


class Positions:
    """The lines of one text."""

    def __init__(self, text: str, encoding: PositionEncodingKind | str) -> None:
        """Find the lines; `encoding` is the unit of a position's `character`."""
        self._text = text
        self._codec = _CODECS.get(PositionEncodingKind(encoding))
        self._begins, self._ends = [0], []
        for found in _BREAK.finditer(text):
            self._ends.append(found.start())
            self._begins.append(found.end())
        self._ends.append(len(text))

    def position(self, offset: int) -> Position:
        """Return the position of the character at `offset`; one beyond the text is its end."""
        offset = min(max(offset, 0), len(self._text))
        line = bisect_right(self._begins, offset) - 1
        return Position(line, self._units(self._text[self._begins[line] : offset]))

    def range(self, start: int, end: int) -> Range:
        """Return the range of the characters from `start` up to `end`."""
        return Range(self.position(start), self.position(end))

    def offset(self, position: Position) -> int:
        """Return the offset of a position; one beyond a line is the line's end."""
        if position.line >= len(self._begins):
            return len(self._text)
        begin, end = self._begins[position.line], self._ends[position.line]
        line = self._text[begin:end]
        if self._codec is None:
            return begin + min(position.character, len(line))
        units = 0
        for index, character in enumerate(line):
            if units >= position.character:
                return begin + index
            units += self._units(character)
        return end

    def _units(self, text: str) -> int:
        if self._codec is None:
            return len(text)
        codec, size = self._codec
        return len(text.encode(codec, "surrogatepass")) // size
