"""The scalars of the YAML 1.2 core schema: what a text means, and how a value is written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

# A number of more digits than Python turns into text without complaint would break whoever prints it.
MAX_DIGITS = 4000
MAX_BASED_DIGITS = 3000
MAX_LINE = 2000
"""Characters of a line of output."""

Scalar: TypeAlias = "str | int | float | bool | None"
Plain: TypeAlias = "Scalar | Sequence[Plain] | Mapping[str, Plain]"

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
# Readers of YAML 1.1 take these for truth values.
_OLD_BOOL = frozenset({"y", "n", "yes", "no", "on", "off"})


def printable(text: str) -> str:
    """Return `text` on one line: what a file says must not steer the terminal or the log that shows it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shortened(text: str, limit: int = 200) -> str:
    """Return `text` on one line, cut where it is longer than any name has reason to be."""
    return printable(text if len(text) <= limit else f"{text[: limit - 3]}...")


def clamped(text: str) -> str:
    """Return a line of which no terminal is steered, and which has an end."""
    line = printable(text)
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 3]}..."


def resolve_scalar(text: str) -> Scalar:
    """Return the value of a plain scalar under the YAML 1.2 core schema (section 10.3.2).

    A whole number of more digits than can be dealt with stays a text; `is_too_long` tells.
    """
    if text in _NULL:
        return None
    if is_too_long(text):
        return text
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


def is_too_long(text: str) -> bool:
    """Say whether `text` is a whole number of more digits than can be dealt with."""
    if len(text) > MAX_BASED_DIGITS and _BASED.fullmatch(text):
        return True
    return len(text) > MAX_DIGITS and _INT.fullmatch(text) is not None


def is_text(text: str) -> bool:
    """Say whether a plain scalar of these characters is a text, so that no quotes are needed."""
    return not is_too_long(text) and isinstance(resolve_scalar(text), str)


def joined_pairs(text: str) -> str | None:
    r"""Return `text` with surrogate pairs, which JSON writes as `\uD83D\uDE00`, joined; None where half is alone."""
    if not _SURROGATE.search(text):
        return text
    joined = _PAIR.sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)
    return None if _SURROGATE.search(joined) else joined


def written(value: Plain) -> str:
    """Return a value as YAML on one line, fit for any place in a file."""
    if isinstance(value, str):
        safe = _SAFE.fullmatch(value) and value.lower() not in _OLD_BOOL and is_text(value)
        return value if safe else quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{written(key)}: {written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(written(inner) for inner in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return json.dumps(value)


def quoted(text: str) -> str:
    """Return `text` in double quotes, which JSON and YAML read alike."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in json.dumps(text, ensure_ascii=False))
