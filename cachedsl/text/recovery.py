"""Parse a text, and go on behind its errors as if the lines that hold them were blank."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from attrs import evolve, frozen

from cachedsl.text import rules
from cachedsl.text.builder import Builder, Stop
from cachedsl.text.finding import Edit, Finding, Fix
from cachedsl.text.places import BLANKS, Lines
from cachedsl.text.scalars import shortened
from cachedsl.text.tree import Node

# How often reading goes on behind an error, and for how many characters in all.
MAX_RECOVERIES = 8
MAX_REREAD = 256 * 1024


@frozen(eq=False)
class Attempt:
    """What came of parsing a text.

    Attributes:
        text: what was parsed; offsets in it lack the file's byte order mark.
        builder: what built the tree.
        root: the tree, as far as it was built.
        stopped: whether the builder itself gave up.
        error: what is not YAML; None where all was read.
        blamed: the offsets of what may be to blame for the error.
    """

    text: str
    builder: Builder
    root: Node | None
    stopped: bool = False
    error: Finding | None = None
    blamed: tuple[int, ...] = ()

    @property
    def score(self) -> tuple[bool, bool, int]:
        """Return how much is in the tree; more is better."""
        return self.error is None, self.root is not None and isinstance(self.root.value, dict), self.builder.built


def attempt(text: str, lines: Lines, shift: int) -> Attempt:
    """Parse `text`, which begins at offset `shift` of the file whose `lines` these are."""
    builder = Builder(text, lines, shift)
    try:
        return Attempt(text, builder, builder.document())
    except Stop:
        return Attempt(text, builder, builder.closed(), stopped=True)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        offset = _reached(builder) if mark is None else mark.index
        blamed = [offset, _line_before(text, lines, offset, shift)]
        if error.context_mark and not str(error.context).startswith("while parsing a block"):
            blamed.append(error.context_mark.index)
        finding = _syntax(error, offset, builder, lines, shift, text)
    except (ValueError, OverflowError) as error:
        # An escape beyond Unicode, or a version with more digits than Python reads.
        blamed = [_reached(builder)]
        finding = rules.SYNTAX.finding(f"not valid YAML: {error}", lines.span(blamed[0] + shift))
    return Attempt(text, builder, builder.closed(), error=finding, blamed=tuple(blamed))


def recovered(first: Attempt, lines: Lines, shift: int) -> tuple[Attempt, int]:
    """Return the attempt that has most of the tree, and how many events all further attempts took.

    What the first attempt had built before the error is kept where the error's line went with all that is on it.
    """
    best = latest = first
    seen = reread = 0
    for _ in range(MAX_RECOVERIES):
        tried: list[Attempt] = []
        for text in dict.fromkeys(_repaired(latest, lines, shift)):
            if reread + len(text) > MAX_REREAD:
                break
            again = attempt(text, lines, shift)
            reread += _reached(again.builder)
            seen += again.builder.events.seen
            tried.append(again)
        if not tried:
            break
        latest = max(tried, key=lambda again: again.score)
        best = max(best, latest, key=lambda again: again.score)
        if latest.error is None:
            break
    return evolve(best, root=_merged(best.root, first.root, lines)), seen


def _merged(root: Node | None, other: Node | None, lines: Lines) -> Node | None:
    """Return `root` with the entries that only `other` has, in the order of the file."""
    if root is None or other is None or not root.mapping.keys() < other.mapping.keys() | root.mapping.keys():
        return root if root is not None else other
    entries = {**other.mapping, **root.mapping}
    keys = {**other.keys, **root.keys}
    names = sorted(entries, key=lambda name: keys[name].start)
    span = lines.span(min(root.span.start, other.span.start), max(root.span.end, other.span.end))
    return evolve(
        root, value={name: entries[name] for name in names}, keys={name: keys[name] for name in names}, span=span
    )


def _reached(builder: Builder) -> int:
    index: int = builder.events.index
    return index


def _line_before(text: str, lines: Lines, offset: int, shift: int) -> int:
    begin = lines.begin(offset + shift) - shift
    return len(text[:begin].rstrip(BLANKS)) - 1


def _repaired(latest: Attempt, lines: Lines, shift: int) -> Iterator[str]:
    """Yield the text without what may be to blame; what is taken out becomes blanks, so that offsets stay."""
    text = latest.text
    if latest.error is not None and latest.error.rule == rules.TAB_INDENT:
        for begin, indent in reversed(list(_tabbed(text, lines, shift))):
            text = text[:begin] + " " * len(indent) + text[begin + len(indent) :]
        yield text
        text = latest.text
    for offset in latest.blamed:
        end = lines.end(max(offset, 0) + shift) - shift
        last = len(text[:end].rstrip(BLANKS)) - 1
        if offset >= 0 and last >= 0:
            begin, end = lines.begin(last + shift) - shift, lines.end(last + shift) - shift
            yield text[:begin] + " " * (end - begin) + text[end:]


def _tabbed(text: str, lines: Lines, shift: int) -> Iterator[tuple[int, str]]:
    """Yield where lines begin whose indentation holds a tab, and the indentation."""
    for begin, end in lines.all():
        line = text[begin - shift : end - shift]
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent:
            yield begin - shift, indent


def _syntax(error: yaml.MarkedYAMLError, offset: int, builder: Builder, lines: Lines, shift: int, text: str) -> Finding:
    """Say what PyYAML refuses, tabs in an indentation by their own name."""
    begin, end = lines.begin(offset + shift) - shift, lines.end(offset + shift) - shift
    line = text[begin:end]
    indent = line[: len(line) - len(line.lstrip(" \t"))]
    in_brackets: bool = builder.events.flow_level > 0
    if "\t" in indent and not in_brackets:
        tab = begin + indent.index("\t") + shift
        edits = [
            Edit(at + shift, at + shift + len(blanks), blanks.replace("\t", "  "))
            for at, blanks in _tabbed(text, lines, shift)
        ]
        # What a tab is as wide as is a guess.
        fix = Fix("indent with spaces", edits, safe=False)
        message = "a tab in the indentation; YAML is indented with spaces"
        return rules.TAB_INDENT.finding(message, lines.span(tab, tab + 1), "use two spaces", fix=fix)
    what = ", ".join(part for part in (error.context, error.problem) if part)
    hint = "quote a name that begins with `*`" if "an alias" in what else None
    return rules.SYNTAX.finding(f"not valid YAML: {shortened(what, 400)}", lines.span(offset + shift), hint)
