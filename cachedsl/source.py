"""Read YAML text into plain values that know where they were written.

Only what a reader of the file would expect survives: the scalars of the YAML 1.2 core schema (`on`, `no` and `yes` are
strings, `017` is seventeen), no tags, no duplicate keys, a single document, and a small budget for aliases. Nothing in
a file can make this module do more than build strings, numbers, lists and mappings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import field, frozen
from yaml.reader import ReaderError

from cachedsl.diagnostics import Diagnostic, Span

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_ALIASED = 1000
MAX_DIGITS = 4000

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_SURROGATE = re.compile("[\ud800-\udfff]")


@frozen(eq=False)
class Node:
    """A value and its place. `value` of a mapping is a dict of nodes, of a sequence a list of nodes.

    Attributes:
        keys: for a mapping, where each key was written.
        text: for a scalar, its characters in the file (`0o17` for 15).
    """

    value: Scalar | dict[str, Node] | list[Node]
    span: Span
    keys: Mapping[str, Span] = field(factory=dict)
    text: str = ""

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
class Source:
    """What a file holds: the root mapping, None where there is none to be had, and every finding."""

    root: Node | None
    findings: tuple[Diagnostic, ...] = field(converter=tuple[Diagnostic, ...])


def printable(text: str) -> str:
    """Return `text` on one line: what a file says must not steer the terminal or the log that shows it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def resolve_scalar(text: str) -> Scalar:
    """Return the value of a plain scalar under the YAML 1.2 core schema (section 10.3.2)."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return float(infinite[1] + "inf")
    return float("nan") if text in _NAN else text


def read(path: Path, file: str) -> Source:
    """Read the file at `path`; findings call it `file`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Source(None, [Diagnostic("cannot-read", f"the file cannot be read: {reason}", Span(file))])
    if len(data) > MAX_BYTES:
        return Source(None, [_too_large(file)])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        found = f"the file is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}"
        return Source(None, [Diagnostic("not-text", found, _span_after(before, file))])
    return parse(text, file)


def parse(text: str, file: str) -> Source:
    """Parse YAML `text` whose root must be a mapping. Never raises for what the text holds."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return Source(None, [_too_large(file)])
    builder = _Builder(text.removeprefix("\ufeff"), file)
    root = None
    try:
        root = builder.document()
    except _Stop:
        pass
    except yaml.MarkedYAMLError as error:
        builder.report_syntax(error)
    except ReaderError as error:
        _report_character(builder, text, error)
    except (ValueError, OverflowError) as error:
        builder.report("syntax", f"not valid YAML: {error}", builder.last)
    return Source(root, builder.findings)


def _too_large(file: str) -> Diagnostic:
    limit = f"{MAX_BYTES // 1024} KiB"
    return Diagnostic("too-large", f"the document is larger than {limit}", Span(file), f"the limit is {limit}")


def _span_after(before: str, file: str) -> Span:
    lines = before.split("\n")
    return Span(file, len(lines), len(lines[-1]) + 1)


def _report_character(builder: _Builder, text: str, error: ReaderError) -> None:
    code = error.character if isinstance(error.character, int) else ord(error.character)
    span = _span_after(text[: error.position], builder.file)
    if code == 0:
        builder.report("not-text", "the file is binary: it holds a NUL character", span)
    else:
        builder.report("bad-character", f"character U+{code:04X} is not allowed in YAML", span)


class _Stop(Exception):
    """A finding after which the rest of the file says nothing; it has been reported."""


class _Builder:
    """Turns PyYAML's events into nodes, one pass, with a bound on depth and on what aliases unfold to."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.findings: list[Diagnostic] = []
        self.last = Span(file)
        self._lines = text
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._aliased = 0
        self._built = 0

    def report(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        self.findings.append(Diagnostic(code, message, span, hint))

    def document(self) -> Node | None:
        """Build the root of the one document and report what stands in the way."""
        root = None
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    message = "a second document begins here; a file holds one"
                    self.report("multiple-documents", message, self._span(event), "move it to a file of its own")
                    break
                root = self._node(self._next(), 0)
        if root is None or (root.value is None and not root.text):
            self.report("empty", "the file is empty", Span(self.file), "the shortest policy is `version: 1`")
            return None
        if not isinstance(root.value, dict):
            kind = "a list" if isinstance(root.value, list) else "a single value"
            self.report("not-mapping", f"the file holds {kind}; expected a mapping of keys to values", root.span)
            return None
        return root

    def report_syntax(self, error: yaml.MarkedYAMLError) -> None:
        """Report what PyYAML refuses, tabs in an indentation by their own name."""
        mark = error.problem_mark or error.context_mark
        span = Span(self.file, mark.line + 1, mark.column + 1) if mark else self.last
        lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", self._lines)
        line = lines[span.line - 1] if span.line <= len(lines) else ""
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent:
            tab = Span(self.file, span.line, indent.index("\t") + 1)
            self.report("tab-indent", "a tab in the indentation; YAML is indented with spaces", tab, "use two spaces")
            return
        what = ", ".join(part for part in (error.context, error.problem) if part)
        quote = "quote a name that begins with `*`" if "an alias" in what else None
        self.report("syntax", f"not valid YAML: {what}", span, quote)

    def _next(self) -> Any:
        event = next(self._events)
        self.last = self._span(event)
        return event

    def _span(self, event: Any) -> Span:
        return Span(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> Node:
        span = self._span(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), span)
        if depth > MAX_DEPTH:
            self.report("too-deep", f"values are nested more than {MAX_DEPTH} deep", span)
            raise _Stop
        if event.tag is not None:
            self.report("tag", f"tag `{printable(event.tag)}` is not allowed", span, "leave the tag out")
        before = self._built
        self._built += 1
        if isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(span, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(span, depth)
        else:
            node = self._scalar(event, span)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._built - before)
        return node

    def _alias(self, anchor: str, span: Span) -> Node:
        if anchor not in self._anchors:
            message = f"alias `*{anchor}` has no finished anchor `&{anchor}` before it"
            self.report("unknown-alias", message, span)
            return Node(None, span)
        node, size = self._anchors[anchor]
        self._aliased += size
        self._built += size
        if self._aliased > MAX_ALIASED:
            message = f"aliases unfold to more than {MAX_ALIASED} values"
            self.report("alias-budget", message, span, "write the values out, or use `extends`")
            raise _Stop
        return Node(node.value, span, node.keys, node.text)

    def _sequence(self, span: Span, depth: int) -> Node:
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Node(items, span)

    def _mapping(self, span: Span, depth: int) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(self._next(), depth + 1)
            if not isinstance(key.value, str):
                self._report_key(key)
            elif key.value in entries:
                first = keys[key.value].line
                message = f"duplicate key `{printable(key.value)}`; line {first} has it already"
                self.report("duplicate-key", message, key.span, "keep one of the two")
            else:
                entries[key.value], keys[key.value] = value, key.span
        return Node(entries, span, keys)

    def _report_key(self, key: Node) -> None:
        if isinstance(key.value, dict | list):
            self.report("bad-key", "a key is a list or a mapping; keys are strings", key.span)
            return
        message = f"key `{key.text or 'null'}` is not a string; keys are strings"
        self.report("bad-key", message, key.span, f'quote it: "{key.text}"' if key.text else None)

    def _scalar(self, event: Any, span: Span) -> Node:
        text: str = event.value
        if _SURROGATE.search(text):
            self.report("bad-character", "half of a surrogate pair is not a character", span)
            return Node("", span, text='""')
        if event.style is not None:
            return Node(text, span, text=text or '""')
        if len(text) > MAX_DIGITS and (_INT.fullmatch(text) or _BASED.fullmatch(text)):
            self.report("syntax", f"a number of {len(text)} digits is too long", span)
            return Node(None, span, text=text)
        return Node(resolve_scalar(text), span, text=text)
