"""Which key or value stands at an offset of a text that is being typed, and may not be YAML yet."""

from __future__ import annotations

import re

from attrs import field, frozen

_LINE = re.compile(r"""([ ]*)((?:-[ ]+)*)(?:(["']?)([^\s"'#{}\[\],&*!|>%@:][^"'#{}\[\],:]*?|\*)\3[ \t]*:(?=\s|$))?""")
_WORD = re.compile(r"""["']?([\w.$*%/+-]*)""")
_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"?|'[^']*'?)|(?P<comment>(?<=\s)#.*|^#.*)"""
    r"""|(?P<sign>[{}\[\],:])|(?P<word>[^\s{}\[\],:"'#]+)"""
)


@frozen
class Cursor:
    """A place in a document.

    Attributes:
        path: the keys that lead to the mapping at the place, and the key itself where a value stands there.
        value: whether a value is at the place, not a key.
        start: the offset where the word at the place begins.
        end: the offset behind it.
        word: the whole word, without quotes.
        inline: whether the place is between brackets.
    """

    path: tuple[str, ...]
    value: bool
    start: int
    end: int
    word: str
    inline: bool = False


@frozen
class _Bracket:
    sign: str
    keys: list[str] = field(factory=list)


def cursor_at(text: str, offset: int) -> Cursor | None:
    """Return what stands at `offset`; None in a comment.

    Block mappings are told by their indentation, those in braces by what is open, so that half a line is enough.
    """
    keys: list[tuple[int, str]] = []
    brackets: list[_Bracket] = []
    begin, value = 0, False
    for line in text[:offset].splitlines(keepends=True) or [""]:
        at_end = begin + len(line) >= offset and not line.endswith(("\n", "\r"))
        found = _LINE.match(line) if not brackets else None
        rest = line
        if found is not None:
            body = line.strip()
            if body.startswith("#"):
                if at_end:
                    return None
                begin += len(line)
                continue
            indent = len(found[1]) + len(found[2])
            if body or at_end:
                keys = [one for one in keys if one[0] < indent]
            value = found[4] is not None
            if found[4] is not None:
                keys.append((indent, found[4].strip()))
            rest = line[found.end() :]
        commented = _flow(rest, brackets)
        if at_end and commented:
            return None
        begin += len(line)
    if text[:offset].endswith(("\n", "\r")) and not brackets:
        keys, value = [], False  # a line without indentation
    word = _word(text, offset)
    path = tuple(name for _, name in keys)
    for bracket in brackets:
        path += tuple(bracket.keys)
    if brackets:
        value = bool(brackets[-1].keys) or brackets[-1].sign == "["
    return Cursor(path, value, *word, inline=bool(brackets))


def _flow(line: str, brackets: list[_Bracket]) -> bool:
    """Follow brackets through a line; return whether it ends in a comment."""
    word = ""
    for token in _TOKEN.finditer(line):
        if token["comment"] is not None:
            return True
        sign = token["sign"]
        if sign is None:
            word = (token["text"] or token["word"]).strip("\"'")
        elif sign in "{[":
            brackets.append(_Bracket(sign))
        elif brackets and sign in "}]":
            brackets.pop()
        elif brackets and sign == ",":
            brackets[-1].keys.clear()
        elif brackets and sign == ":" and brackets[-1].sign == "{":
            brackets[-1].keys[:] = [word]
    return False


def _word(text: str, offset: int) -> tuple[int, int, str]:
    start = offset
    while start > 0 and re.match(r"[\w.$*%/+-]", text[start - 1]):
        start -= 1
    found = _WORD.match(text, start)
    assert found is not None, "the pattern may be empty"
    return start, max(found.end(), offset), found[1]
