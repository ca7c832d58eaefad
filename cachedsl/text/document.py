"""Read YAML text into plain values that know where they were written.

Only what a reader of the file would expect survives: the scalars of the YAML 1.2 core schema (`on`, `no` and `yes` are
strings, `017` is seventeen), no tags, no duplicate keys, a single document, and a small budget for aliases. Nothing in
a file can make this module do more than build strings, numbers, lists and mappings.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from yaml.reader import Reader

from cachedsl.text import rules
from cachedsl.text.builder import MAX_ALIASED, MAX_DEPTH
from cachedsl.text.finding import Finding, Span
from cachedsl.text.paths import reason
from cachedsl.text.places import BOM, Lines
from cachedsl.text.recovery import attempt, recovered
from cachedsl.text.scalars import MAX_DIGITS, Scalar, printable, resolve_scalar
from cachedsl.text.tree import Comment, Document, Node

__all__ = [
    "MAX_ALIASED",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "Comment",
    "Document",
    "Node",
    "Scalar",
    "parse_document",
    "printable",
    "read_document",
    "read_stream",
    "resolve_scalar",
]

MAX_BYTES = 1024 * 1024


def read_document(path: Path, file: str) -> Document:
    """Read the file at `path` once, from begin to end; findings call it `file`. It may be a pipe."""
    try:
        with path.open("rb") as stream:
            return read_stream(stream, file)
    except OSError as error:
        return _cannot_read(error, file)
    except ValueError as error:  # a name that no file system has
        return _cannot_read(error, file)


def read_stream(stream: BinaryIO, file: str) -> Document:
    """Read what `stream` holds, up to the limit for files; findings call it `file`."""
    parts, size = [], 0
    try:
        # A stream without a buffer gives what it has at hand, and more later.
        while size <= MAX_BYTES and (part := stream.read(MAX_BYTES + 1 - size)):
            parts.append(part)
            size += len(part)
    except OSError as error:
        return _cannot_read(error, file)
    if size > MAX_BYTES:
        return _too_large("", file)
    data = b"".join(parts)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        found = f"the file is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}"
        lines = Lines(before, file)
        finding = rules.NOT_TEXT.finding(found, lines.span(len(before)))
        return Document(file, before, findings=[finding], broken=True, lines=lines)
    return parse_document(text, file)


def parse_document(text: str, file: str) -> Document:
    """Parse YAML `text` whose root must be a mapping. Never raises for what the text holds."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return _too_large(text, file)
    lines = Lines(text, file)
    shift = len(BOM) if text.startswith(BOM) else 0
    bad = Reader.NON_PRINTABLE.search(text, shift)
    wrong = [_bad_character(bad[0], lines.span(bad.start(), bad.end()))] if bad else []
    if "\0" in text:
        return Document(file, text, findings=wrong, broken=True, lines=lines)
    first = attempt(Reader.NON_PRINTABLE.sub("\ufffd", text[shift:]), lines, shift)
    best, more = (first, 0) if first.error is None else recovered(first, lines, shift)
    # What is found behind the first error may be its consequence.
    findings = wrong + first.builder.findings
    if first.error is not None:
        findings.append(first.error)
    root = best.root
    if root is None or not isinstance(root.value, dict):
        if not wrong and first.error is None and not first.stopped:
            findings.append(_no_mapping(root, file))
        root = None
    events = best.builder.events
    comments = [(start + shift, end + shift) for start, end in events.comments]
    return Document(
        file,
        text,
        root,
        findings,
        tuple(Comment(lines.span(start, end), text[start:end]) for start, end in comments),
        bool(wrong) or first.error is not None or best.builder.broken,
        lines=lines,
        anchors=tuple(sorted({*first.builder.anchored, *best.builder.anchored})),
        explicit=tuple(offset + shift for offset in events.explicit),
        events=first.builder.events.seen + more,
    )


def _no_mapping(root: Node | None, file: str) -> Finding:
    if root is None or (root.value is None and not root.text):
        return rules.EMPTY.finding("the file is empty", Span(file), "the shortest policy is `version: 1`")
    kind = "a list" if isinstance(root.value, list) else "a single value"
    message = f"the file holds {kind}; expected a mapping of keys to values"
    return rules.NOT_MAPPING.finding(message, root.span)


def _cannot_read(error: Exception, file: str) -> Document:
    finding = rules.CANNOT_READ.finding(f"the file cannot be read: {reason(error)}", Span(file))
    return Document(file, "", findings=[finding], broken=True, lines=Lines("", file))


def _too_large(text: str, file: str) -> Document:
    limit = f"{MAX_BYTES // 1024} KiB"
    message = f"the document is larger than {limit}"
    finding = rules.TOO_LARGE.finding(message, Span(file), f"the limit is {limit}")
    return Document(file, text, findings=[finding], broken=True, lines=Lines(text, file))


def _bad_character(character: str, span: Span) -> Finding:
    if character == "\0":
        return rules.NOT_TEXT.finding("the file is binary: it holds a NUL character", span)
    return rules.BAD_CHARACTER.finding(f"character U+{ord(character):04X} is not allowed in YAML", span)
