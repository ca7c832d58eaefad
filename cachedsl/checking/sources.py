"""Which files there are below what was named, and what each holds; every file is read once."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from cachedsl.text import rules
from cachedsl.text.document import MAX_BYTES, read_stream
from cachedsl.text.finding import Finding, Span
from cachedsl.text.paths import reason
from cachedsl.text.places import Lines
from cachedsl.text.tree import Document

YAML = (".yaml", ".yml")
JSON = ".json"
STDIN = "<stdin>"
# JSON that holds none of these is another tool's, and need not be parsed.
_OURS = (b"cachedsl.plan", b"policy.schema.json", b"adapter.schema.json")


@frozen(eq=False)
class Source:
    """What was read of one file.

    Attributes:
        document: the file's tree.
        text: the file's text, with stand-ins for bytes that are no text; of a file that is too large, its beginning.
        path: where it is; None for standard input.
        named: whether the user named the file itself, and not a folder around it.
        data: what was read, as it is.
    """

    document: Document
    text: str
    path: Path | None
    named: bool
    data: bytes = b""

    @property
    def file(self) -> str:
        """What the user calls the file."""
        return self.document.file

    @property
    def unreadable(self) -> bool:
        """Whether the system refused to open or read it."""
        return any(found.rule == rules.CANNOT_READ for found in self.document.findings)


@frozen(eq=False)
class Listing:
    """The files below what was named, and the folders that could not be listed."""

    files: tuple[tuple[str, bool], ...]
    findings: tuple[Finding, ...]


def list_files(paths: tuple[str, ...]) -> Listing:
    """Return each file once, with whether it was named itself. `-` is standard input. Hidden folders are left out."""
    named: dict[str, bool] = {}
    names: dict[str, str] = {}
    findings: list[Finding] = []
    for path in paths:
        folder = path != "-" and os.path.isdir(path)
        for file in _below(path, findings) if folder else (_tidy(path),):
            key = file if file == "-" else os.path.abspath(file)
            names.setdefault(key, file)
            named[key] = named.get(key, False) or not folder
    return Listing(tuple((file, named[key]) for key, file in names.items()), tuple(findings))


def read_sources(listing: Listing, stdin: BinaryIO, stdin_filename: str | None = None) -> Iterator[Source]:
    """Yield what each file holds, in order; JSON below a folder that does not say it is ours is left out.

    Standard input is taken to lie at `stdin_filename`, whatever is there.
    """
    for file, named in listing.files:
        if file == "-":
            path = None if stdin_filename is None else Path(stdin_filename)
            yield _source(_read(stdin), stdin_filename or STDIN, path, True)
            continue
        data = _opened(file)
        is_json = file.endswith(JSON) and not named
        if not is_json or (isinstance(data, bytes) and any(sign in data for sign in _OURS)):
            yield _source(data, file, Path(file), named)


def source_at(path: Path, file: str, named: bool) -> Source:
    """Return what the file at `path` holds, called `file`; also where it cannot be read."""
    return _source(_opened(str(path)), file, None, named)


def source_of(data: bytes, file: str = "<bytes>", named: bool = True) -> Source:
    """Return a source that is no file."""
    return _source(data, file, None, named)


def source_of_text(text: str, like: Source) -> Source:
    """Return the source that `like` would be if it held `text`."""
    return _source(text.encode("utf-8", "surrogatepass"), like.file, like.path, like.named)


def cannot_read(error: OSError, file: str) -> Finding:
    """Say that the system refused."""
    return rules.CANNOT_READ.finding(f"the file cannot be read: {reason(error)}", Span(file))


def _source(data: bytes | OSError, file: str, path: Path | None, named: bool) -> Source:
    if isinstance(data, OSError):
        found = cannot_read(data, file)
        document = Document(file, "", findings=[found], broken=True, lines=Lines("", file))
        return Source(document, "", path, named)
    document = read_stream(io.BytesIO(data), file)
    whole = document.root is not None and not document.broken
    return Source(document, document.text if whole else data.decode("utf-8", "replace"), path, named, data)


def _opened(file: str) -> bytes | OSError:
    try:
        with open(file, "rb") as stream:
            return _read(stream)
    except OSError as error:
        return error


def _read(stream: BinaryIO) -> bytes | OSError:
    """Read one byte more than a file may have, at most."""
    parts, size = [], 0
    try:
        # A pipe may give what it has at hand, and more later.
        while size <= MAX_BYTES and (part := stream.read(MAX_BYTES + 1 - size)):
            parts.append(part)
            size += len(part)
    except OSError as error:
        return error
    return b"".join(parts)


def _below(folder: str, findings: list[Finding]) -> Iterator[str]:
    refused: list[OSError] = []
    found = []
    for parent, folders, files in os.walk(folder, onerror=refused.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [_tidy(os.path.join(parent, name)) for name in files if name.endswith((*YAML, JSON))]
        # A link to nothing is a file that cannot be read; a pipe or a device is no file.
        found += [path for path in paths if os.path.isfile(path) or not os.path.exists(path)]
    for error in refused:
        where = _tidy(str(error.filename))
        findings.append(rules.CANNOT_READ.finding(f"the folder cannot be listed: {reason(error)}", Span(where)))
    yield from sorted(found, key=lambda path: path.split(os.sep))


def _tidy(path: str) -> str:
    """Return a path without `./` and the like, as long as it does not come to mean standard input."""
    tidy = str(Path(path))
    return path if tidy == "-" else tidy
