"""Values that know where they were written, and the document that holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from cachedsl.text.finding import Finding, Span
from cachedsl.text.places import Lines
from cachedsl.text.scalars import Scalar


@frozen(eq=False)
class Node:
    """A value and its place. `value` of a mapping is a dict of nodes, of a sequence a list of nodes.

    Attributes:
        keys: for a mapping, where each key was written.
        text: for a scalar, its characters in the file (`0o17` for 15).
        bracket: for a mapping or list in brackets, the offset of the opening one.
        alias: whether the value was written elsewhere, and an alias stands here.
    """

    value: Scalar | dict[str, Node] | list[Node]
    span: Span
    keys: Mapping[str, Span] = field(factory=dict)
    text: str = ""
    bracket: int | None = None
    alias: bool = False

    @property
    def mapping(self) -> dict[str, Node]:
        """Return the entries of a mapping; nothing for any other value."""
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


@frozen
class Comment:
    """A comment: its place, and its characters from the `#` on."""

    span: Span
    text: str


@frozen(eq=False)
class Document:
    """What a text holds.

    Attributes:
        file: the text's name, as the user gave it.
        text: the whole text; offsets of spans count its characters.
        root: the root mapping; None where there is none to be had.
        findings: what is wrong with the text.
        comments: every comment, in order.
        broken: whether errors of the text make the tree hold something else than what was written: lines were passed
            over, or a value is missing.
        lines: where the lines begin and end.
        anchors: the offsets of the values that aliases may mean, in order.
        explicit: the offsets of the `?` that stand before a key, in order.
        events: how many events of the parser it took to build the tree, over all attempts.
    """

    file: str
    text: str
    root: Node | None = None
    findings: tuple[Finding, ...] = field(default=(), converter=tuple[Finding, ...])
    comments: tuple[Comment, ...] = ()
    broken: bool = False
    lines: Lines = field(repr=False, kw_only=True)
    anchors: tuple[int, ...] = ()
    explicit: tuple[int, ...] = ()
    events: int = 0

    @cached_property
    def comment_offsets(self) -> list[tuple[int, int]]:
        """Return where comments begin and end, in order."""
        return [(comment.span.start, comment.span.end) for comment in self.comments]

    @cached_property
    def is_json(self) -> bool:
        """Tell whether the text is JSON, or in a file that must be: whatever is written into it has to stay so."""
        if self.file.endswith(".json"):
            return True
        try:
            json.loads(self.text)
        except (ValueError, RecursionError):
            return False
        return True

    def span(self, start: int, end: int | None = None) -> Span:
        """Return the span from offset `start` up to `end`; without `end`, a place between two characters."""
        return self.lines.span(start, end)
