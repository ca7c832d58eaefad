"""Find and read `[tool.cachedsl]` of the nearest pyproject.toml that has it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from cachedsl.text.finding import Span
from cachedsl.text.places import BOM

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = "pyproject.toml"


class NotToml(Exception):
    """A pyproject.toml that speaks of cachedsl is not TOML; the text says why, and `place` is its line and column."""

    def __init__(self, why: str, line: int = 1, column: int = 1) -> None:
        """Take what is wrong and where; the first line where it is about the whole file."""
        super().__init__(why)
        self.place = line, column

    def span(self, file: str) -> Span:
        """Return the place in the file as readers call it."""
        return Span(file, *self.place)


@frozen
class Table:
    """What is under `tool.cachedsl`, whatever it is, and the text of the file."""

    own: Any
    text: str


def pyprojects(start: Path) -> Iterator[Path]:
    """Yield the pyproject.toml of `start` and of each folder above that has one, the nearest first."""
    for folder in (start, *start.parents):
        if (folder / PYPROJECT).is_file():
            yield folder / PYPROJECT


def read_pyproject(path: Path) -> Table | None:
    """Return what a pyproject.toml says of cachedsl; None where it only speaks of it, as in its dependencies.

    Raises:
        NotToml: it speaks of cachedsl and cannot be read.
    """
    data = path.read_bytes()
    if b"cachedsl" not in data:
        return None
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise NotToml(f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8") from None
    if text.startswith(BOM):
        raise NotToml("it begins with a byte order mark, which TOML does not have")
    try:
        tool = tomllib.loads(text).get("tool")
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+), column (\d+)", str(error))
        raise NotToml(str(error), *(map(int, found.groups()) if found else ())) from None
    except RecursionError:
        raise NotToml("values are nested too deep") from None
    own = tool.get("cachedsl") if isinstance(tool, Mapping) else None
    return None if own is None else Table(own, text)
