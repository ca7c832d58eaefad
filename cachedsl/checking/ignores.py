"""Comments that turn rules off where they stand.

`# cachedsl: ignore[code] reason` holds for the line that it is on, and on a line of its own for the next one;
`# cachedsl: ignore-file[code] reason` for the whole file. A category stands for all of its rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches

from attrs import define, field

from cachedsl.checking.catalogue import rule_called
from cachedsl.checking.selection import ALL, wrong_selector
from cachedsl.rules.shape.ignores import BAD_IGNORE, UNUSED_IGNORE
from cachedsl.text.document import parse_document
from cachedsl.text.finding import CATEGORIES, Edit, Finding, Fix, Rule, Span
from cachedsl.text.places import BREAK
from cachedsl.text.scalars import printable, shortened
from cachedsl.text.tree import Comment, Document

_COMMENT = re.compile(r"(?<![^\s#])#[ \t]*cachedsl:[ \t]*(ignore(?:-file)?)\b[ \t]*(?:\[([^\]#]*)\])?")
_MEANT = re.compile(r"(?<![^\s#])#[ \t]*cachedsl[ \t]*:?[ \t]*([\w-]+)[ \t]*(?:\[[^\]#]*\])?", re.IGNORECASE)
_WORDS = ("ignore", "ignore-file")
_NEVER = ("unused-ignore", "bad-ignore")


@define
class Ignore:
    """One comment: the codes that it names, the line that it holds for (None for the file), and which were of use."""

    comment: Comment
    match: re.Match[str]
    line: int | None
    names: tuple[str, ...]
    used: set[str] = field(factory=set)

    @property
    def span(self) -> Span:
        return self.comment.span


def ignores_of(document: Document) -> list[Ignore]:
    """Return the comments of a file that turn rules off."""
    found = []
    for comment in document.comments:
        for match in _COMMENT.finditer(comment.text):
            names = tuple(name.strip() for name in (match[2] or "").split(",") if name.strip())
            line = None if match[1] == "ignore-file" else _line(document, comment)
            found.append(Ignore(comment, match, line, names))
    return found


def without_ignored(findings: Iterable[Finding], document: Document, ignores: list[Ignore]) -> list[Finding]:
    """Return the findings that no comment turns off, and note which comments were of use."""
    kept = []
    for found in findings:
        names = {found.code, found.rule.category}
        hidden = False
        if found.span.file == document.file and found.rule.stage != "text" and found.code not in _NEVER:
            for one in ignores:
                if one.line in (None, found.span.line) and names & set(one.names):
                    one.used |= names & set(one.names)
                    hidden = True
        if not hidden:
            kept.append(found)
    return kept


def ignore_findings(document: Document, ignores: list[Ignore], judged: Callable[[Rule], bool]) -> Iterator[Finding]:
    """Yield what is wrong with the comments; rules that are not `judged` were not looked for here."""
    for one in ignores:
        start = one.comment.span.start + one.match.start()
        span = document.span(start, one.comment.span.start + one.match.end())
        if not one.names:
            hint = f"name it: `# cachedsl: {one.match[1]}[code] reason`"
            yield BAD_IGNORE.finding("the comment does not say which rule is to be ignored", span, hint)
        for name in one.names:
            why = wrong_selector(name)
            rule = rule_called(name)
            if name == ALL:
                hint = f"name codes, or categories: {', '.join(CATEGORIES)}"
                yield BAD_IGNORE.finding("a comment cannot ignore `all` rules", span, hint)
            elif why is not None:
                yield BAD_IGNORE.finding(printable(why), span)
            elif rule is not None and (rule.stage == "text" or name in _NEVER):
                yield BAD_IGNORE.finding(f"`{name}` cannot be ignored by a comment", span)
            elif name not in one.used and _judged(name, judged):
                fix = Fix(f"Take `{name}` out of the comment", (_without(document, one, name),), safe=True)
                message = f"`{name}` finds nothing here that the comment could ignore"
                yield UNUSED_IGNORE.finding(message, span, "take it out", fix=fix)
    yield from _misspelt(document)


def _misspelt(document: Document) -> Iterator[Finding]:
    """Yield the comments that were meant to turn a rule off, and do not."""
    for comment in document.comments:
        read = {match.start() for match in _COMMENT.finditer(comment.text)}
        for match in _MEANT.finditer(comment.text):
            word = match[1].lower()
            near = next(iter(get_close_matches(word, _WORDS, 1, 0.8)), None)
            has_codes, same = match[0].endswith("]"), word in _WORDS
            if match.start() in read or near is None or not (same or has_codes or not word.startswith("ignore")):
                continue
            start = comment.span.start
            span = document.span(start + match.start(), start + match.end())
            said = shortened(match[0], 60)
            yield BAD_IGNORE.finding(
                f"`{said}` ignores nothing", span, f"it is written `# cachedsl: {near}[code] reason`"
            )


def add_ignores(document: Document, findings: Iterable[Finding], reason: str) -> tuple[str, list[Finding]]:
    """Return the text with a comment for each finding, and the findings for which there is no place."""
    text, left = document.text, []
    wanted: dict[int, list[str]] = {}
    # A file with broken YAML cannot be read so surely that a comment would hold, and JSON has no comments.
    nowhere = document.broken or document.file.endswith(".json")
    for found in findings:
        if nowhere or found.span.file != document.file or found.rule.stage == "text" or found.code in _NEVER:
            left.append(found)
        elif found.code not in wanted.setdefault(found.span.line, []):
            wanted[found.span.line].append(found.code)
    for line in sorted(wanted, reverse=True):
        changed = _added(text, document.file, line, wanted[line], reason)
        if changed is None:
            left += [found for found in findings if found.span.line == line and found.code in wanted[line]]
        else:
            text = changed
    return text, left


def _added(text: str, file: str, line: int, codes: list[str], reason: str) -> str | None:
    """Return the text with the codes ignored on a line; None where a comment would change what the file says."""
    document = parse_document(text, file)
    for one in ignores_of(document):
        if one.comment.span.line == line and one.line == line and one.match[2] is not None:
            start, end = (one.comment.span.start + at for at in one.match.span(2))
            return text[:start] + ", ".join(dict.fromkeys((*one.names, *codes))) + text[end:]
    begin, end = list(document.lines.all())[line - 1]
    comment = f"# cachedsl: ignore[{', '.join(codes)}] {reason}".rstrip()
    line_break = found[0] if (found := BREAK.search(text)) else "\n"
    indent = text[begin:end][: len(text[begin:end]) - len(text[begin:end].lstrip(" "))]
    for at, added, moved in ((end, f"  {comment}", 0), (begin, f"{indent}{comment}{line_break}", 1)):
        changed = text[:at] + added + text[at:]
        again = parse_document(changed, file)
        holds = any(set(codes) <= set(one.names) and one.line == line + moved for one in ignores_of(again))
        if holds and _plain(again) == _plain(document):
            return changed
    return None


def _plain(document: Document) -> object:
    return None if document.root is None else document.root.plain()


def _line(document: Document, comment: Comment) -> int:
    """Return the line that a comment holds for: its own, or the next one with something on it."""
    begin = document.lines.begin(comment.span.start)
    if document.text[begin : comment.span.start].strip():
        return comment.span.line
    at = document.lines.after(comment.span.start)
    while at < len(document.text):
        text = document.text[at : document.lines.end(at)].strip()
        if text and not text.startswith("#"):
            return document.span(at).line
        following = document.lines.after(at)
        if following <= at:
            break
        at = following
    return comment.span.line


def _judged(name: str, judged: Callable[[Rule], bool]) -> bool:
    """Tell whether what a comment names was looked for; of a category nobody knows what it is meant to hide."""
    rule = rule_called(name)
    return rule is not None and name not in CATEGORIES and judged(rule)


def _without(document: Document, one: Ignore, name: str) -> Edit:
    text, start = document.text, one.comment.span.start
    left = [other for other in one.names if other != name]
    if left:
        return Edit(start + one.match.start(2), start + one.match.end(2), ", ".join(left))
    begin, end = start + one.match.start(), one.comment.span.end
    if one.match.start() > 0:
        following = _COMMENT.search(one.comment.text, one.match.end())
        end = end if following is None else start + following.start()
    line = document.lines.begin(begin)
    if not text[line:begin].strip():
        return Edit(line, document.lines.after(begin), "")
    while begin > line and text[begin - 1] in " \t":
        begin -= 1
    return Edit(begin, end, "")
