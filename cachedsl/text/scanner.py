"""PyYAML's events, with what it throws away: comments, explicit keys, and where block scalars really end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from yaml.error import Mark
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

_BREAKS = "\0\r\n\x85\u2028\u2029"
_BREAK: Any = re.compile(f"[{_BREAKS}]")


class Events(Reader, Scanner, Parser):
    """The events of a text.

    Attributes:
        comments: the offsets where comments begin and end, in order.
        explicit: the offsets of the `?` that stand before a key.
        seen: how many events were given out.
    """

    def __init__(self, text: str) -> None:
        """Begin to read `text`, which holds only characters that YAML allows."""
        self.comments: list[tuple[int, int]] = []
        self.explicit: list[int] = []
        self.seen = 0
        self._content_end = 0
        base: Any = Reader
        base.__init__(self, text)
        base = Scanner
        base.__init__(self)
        base = Parser
        base.__init__(self)

    def __iter__(self) -> Iterator[Any]:
        """Yield the events."""
        this: Any = self
        while this.check_event():
            self.seen += 1
            yield this.get_event()

    def scan_to_next_token(self) -> None:
        """Pass over blanks and comments. In brackets a tab is a blank, as in JSON."""
        this: Any = self
        if this.index == 0 and this.peek() == "\ufeff":
            this.forward()
        blanks = " \t" if this.flow_level else " "
        while True:
            while this.peek() in blanks:
                this.forward()
            self._comment()
            if not this.scan_line_break():
                return
            if not this.flow_level:
                this.allow_simple_key = True

    def _comment(self) -> None:
        this: Any = self
        if this.peek() != "#":
            return
        length = _BREAK.search(this.buffer, this.pointer).start() - this.pointer
        self.comments.append((this.index, this.index + length))
        # what `forward` does, without a look at every character: a comment holds no line break
        this.pointer += length
        this.index += length
        this.column += length

    def fetch_key(self) -> None:
        """Note the `?` of an explicit key."""
        this: Any = self
        self.explicit.append(this.index)
        base: Any = super()
        base.fetch_key()

    def scan_block_scalar(self, style: str) -> Any:
        """Scan a block scalar; its end is that of its last line, or with `+` that of the last blank line it keeps."""
        this: Any = self
        base: Any = super()
        token = base.scan_block_scalar(style)
        begin = token.start_mark.index
        header = this.buffer[begin : begin + 3]
        end = token.end_mark.index if "+" in header else self._content_end
        if end > begin and this.buffer[end - 1] in _BREAKS:
            end -= 2 if this.buffer[end - 2 : end] == "\r\n" else 1
        token.end_mark = Mark(this.name, end, 0, 0, this.buffer, end)
        return token

    def scan_block_scalar_ignored_line(self, start_mark: Any) -> None:
        """Pass over the rest of a block scalar's header."""
        this: Any = self
        while this.peek() == " ":
            this.forward()
        self._comment()
        base: Any = super()
        base.scan_block_scalar_ignored_line(start_mark)

    def scan_block_scalar_indentation(self) -> Any:
        """Note where the header of a block scalar ends."""
        this: Any = self
        self._content_end = this.index
        base: Any = super()
        return base.scan_block_scalar_indentation()

    def scan_block_scalar_breaks(self, indent: int) -> Any:
        """Note where the latest line of a block scalar ends."""
        this: Any = self
        self._content_end = this.index
        base: Any = super()
        return base.scan_block_scalar_breaks(indent)
