"""What the docstring of a class says, for schemas and tables that are made of it."""

from __future__ import annotations

import re
from inspect import getdoc

_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def documented(cls: type) -> tuple[str, dict[str, str]]:
    """Return what a class is, and what each of its fields means, as its section `Attributes` says; each on one line."""
    words, _, section = (getdoc(cls) or "").partition("\n\nAttributes:\n")
    return _line(words), {name: _line(said) for name, said in _ATTRIBUTE.findall(section)}


def _line(text: str) -> str:
    return " ".join(text.split())
