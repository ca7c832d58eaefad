"""Edits of one value, key or entry of a document. All else keeps its text, its order and its comments.

Values and keys behind an anchor change for each of its aliases.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left

from cachedsl.text.document import parse_document
from cachedsl.text.finding import Edit, Span
from cachedsl.text.places import BLANKS, BREAK, before
from cachedsl.text.scalars import quoted, written
from cachedsl.text.tree import Document, Node

_DASHES = re.compile("[ -]*-")
_LONGEST_KEY = 1000


class CannotEdit(ValueError):
    """The change cannot be made by an edit that leaves all else as it is."""


def replace_value(document: Document, node: Node, text: str) -> tuple[Edit, ...]:
    """Write `text`, which is YAML on one line, in place of the value `node`. Raises `CannotEdit`.

    `written` makes such a text from a value.
    """
    _check_line(text)
    text = _fit(document, text)
    start, end = node.span.start, node.span.end
    _check_anchors(document, start, end)
    whole = document.text
    if start == end:
        if whole[start - 1 : start] == ":" or _DASHES.fullmatch(whole, document.lines.begin(start), start):
            return (Edit(start, end, f" {text}"),)
        raise CannotEdit("the value was left out, and with it the colon")
    owner = _before(document, start)
    if owner and whole[owner - 1] in ":-?" and not document.lines.begin(start) <= owner:
        # The value stands on lines of its own, at an indentation that only a mapping or list may have.
        line = document.lines.begin(start)
        cut = document.lines.end(line - 1) if line else start
        return Edit(owner, owner, f" {text}"), Edit(_cut(document, owner, cut, start, end), end, "")
    # A `#` is part of a plain value that it touches.
    return (Edit(start, end, f"{text} " if whole[end : end + 1] == "#" else text),)


def rename_key(document: Document, mapping: Node, key: str, new: str) -> tuple[Edit, ...]:
    """Write `new` in place of `key`. Raises `CannotEdit`."""
    span = _key_span(mapping, key)
    if new == key:
        return ()
    if new in mapping.mapping:
        raise CannotEdit(f"the mapping has a key `{new}` already")
    _check_anchors(document, span.start, span.end)
    text = _key_text(document, new, span)
    behind = document.text[span.end : span.end + 2]
    if behind[:1] == ":" and mapping.bracket is not None and behind[1:] not in " \t\r\n":
        # As in `{"a":1}`: without quotes the colon would belong to the key.
        text = quoted(new)
    return (Edit(span.start, span.end, text),)


def remove_entry(document: Document, mapping: Node, key: str) -> tuple[Edit, ...]:
    """Take `key` and its value out: in brackets with a comma, else with their lines and the comment on the last one.

    A mapping that loses its only entry becomes `{}`. Raises `CannotEdit`.
    """
    span = _key_span(mapping, key)
    end = max(mapping.mapping[key].span.end, span.end)
    _check_anchors(document, span.start, end)
    _check_explicit(document, mapping)
    if mapping.bracket is not None:
        return _remove_in_brackets(document, span.start, end)
    if mapping.span.start == span.start and mapping.span.end == end:
        return replace_value(document, mapping, "{}")
    return (_remove_lines(document, mapping, span.start, end),)


def insert_entry(document: Document, mapping: Node, key: str, value: str, after: str | None = None) -> tuple[Edit, ...]:
    """Put `key` with `value`, which is YAML on one line, behind the entry `after`, or else first.

    Raises `CannotEdit`.
    """
    _check_line(value)
    value = _fit(document, value)
    if key in mapping.mapping:
        raise CannotEdit(f"the mapping has a key `{key}` already")
    first = next(iter(mapping.keys), None)
    span = _key_span(mapping, first if after is None else after) if mapping.keys or after is not None else None
    if span is None or first is None:
        if mapping.bracket is None or mapping.span.end - mapping.bracket != len("{}"):
            raise CannotEdit("no key of the mapping shows where another would stand")
        at = mapping.bracket + 1
        return (Edit(at, at, f"{quoted(key) if document.is_json else written(key)}: {value}"),)
    entry = f"{_key_text(document, key, mapping.keys[first])}: {value}"
    in_brackets = mapping.bracket is not None
    indent = "\n" + " " * (mapping.keys[first].column - 1)
    if line_break := BREAK.search(document.text):
        indent = indent.replace("\n", line_break[0])
    _check_explicit(document, mapping)
    if after is None:
        return (Edit(span.start, span.start, entry + (", " if in_brackets else indent)),)
    end = max(mapping.mapping[after].span.end, span.end)
    if in_brackets:
        return (Edit(end, end, f", {entry}"),)
    end = document.lines.end(end)
    return (Edit(end, end, indent + entry),)


def _remove_in_brackets(document: Document, start: int, end: int) -> tuple[Edit, ...]:
    text, lines = document.text, document.lines
    comma = _after(document, end)
    alone = not text[lines.begin(start) : start].strip()
    if text[comma] == ",":
        line_end = lines.end(comma)
        rest = _blanks(text, comma + 1)
        is_last = rest == line_end or _comment_at(document, rest)
        if alone and is_last:
            return (Edit(lines.begin(start), lines.after(comma), ""),)
        return (Edit(start, comma + 1 if is_last else rest, ""),)
    tail = _blanks(text, end)
    if alone and _comment_at(document, tail):
        end = lines.end(tail)
    owner = _before(document, start)
    if text[owner - 1] != ",":
        return (Edit(start, end, ""),)
    if not text[owner:start].strip():
        return (Edit(owner - 1, end, ""),)
    # Comments stand between the comma and the entry.
    cut = lines.end(lines.begin(start) - 1) if alone else start
    return Edit(owner - 1, owner, ""), Edit(_cut(document, owner, cut, start, end), end, "")


def _cut(document: Document, owner: int, cut: int, start: int, end: int) -> int:
    """Return where to begin to delete, so that what is left of the last line does not end up in a comment."""
    commented = document.text[owner:cut].strip()
    return start if commented and document.text[end : document.lines.end(end)].strip() else cut


def _remove_lines(document: Document, mapping: Node, start: int, end: int) -> Edit:
    text, lines = document.text, document.lines
    if not text[lines.begin(start) : start].strip():
        return Edit(lines.begin(start), lines.after(end), "")
    # The first of several in a list, as in `- a: 1`: the next one moves up to the dash.
    following = lines.after(end)
    while following < len(text) and text[following] in " \t\r\n":
        following += 1
    if following < mapping.span.end and text[following] != "#":
        return Edit(start, following, "")
    return Edit(start, lines.end(end), "")


def _key_span(mapping: Node, key: str | None) -> Span:
    if mapping.alias:
        raise CannotEdit("the mapping is written elsewhere; an alias stands here")
    if key is None or key not in mapping.keys:
        raise CannotEdit(f"the mapping has no key `{key}`")
    return mapping.keys[key]


def _key_text(document: Document, key: str, like: Span) -> str:
    """Write a key, in double quotes where the key at `like` is."""
    text = quoted(key) if document.is_json or document.text[like.start] == '"' else written(key)
    if len(text) > _LONGEST_KEY:
        raise CannotEdit("the key is too long for YAML")
    return text


def _check_line(text: str) -> None:
    if not text or BREAK.search(text):
        raise CannotEdit("a value is written on one line")


def _fit(document: Document, text: str) -> str:
    """Return YAML on one line as the document has it: a JSON file stays one."""
    if not document.is_json:
        return text
    meant = parse_document(f"value: {text}", document.file)
    if meant.root is None or meant.broken:
        raise CannotEdit("the value is not one of YAML")
    try:
        return json.dumps(meant.root.mapping["value"].plain(), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise CannotEdit("JSON has no such value") from error


def _check_anchors(document: Document, start: int, end: int) -> None:
    at = bisect_left(document.anchors, start)
    if at < len(document.anchors) and document.anchors[at] < end:
        raise CannotEdit("aliases may mean what would go")


def _check_explicit(document: Document, mapping: Node) -> None:
    at = bisect_left(document.explicit, mapping.span.start)
    if at < len(document.explicit) and document.explicit[at] < mapping.span.end:
        raise CannotEdit("a key is written with `?`")


def _before(document: Document, offset: int) -> int:
    return before(document.text, offset, document.comment_offsets)


def _after(document: Document, offset: int) -> int:
    """Return where something stands again at or after `offset`, blanks and comments aside."""
    text = document.text
    while True:
        while offset < len(text) and text[offset] in BLANKS:
            offset += 1
        if not _comment_at(document, offset):
            return offset
        offset = document.lines.end(offset)


def _blanks(text: str, offset: int) -> int:
    while text[offset : offset + 1] in (" ", "\t"):
        offset += 1
    return offset


def _comment_at(document: Document, offset: int) -> bool:
    offsets = document.comment_offsets
    at = bisect_left(offsets, (offset, 0))
    return at < len(offsets) and offsets[at][0] == offset
