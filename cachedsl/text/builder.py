"""Turn a parser's events into nodes: one pass, with a bound on depth and on what aliases unfold to."""

from __future__ import annotations

from typing import Any, TypeAlias

import yaml
from attrs import define, evolve, field

from cachedsl.text import rules
from cachedsl.text.finding import Edit, Finding, Fix, Related, Rule, Span
from cachedsl.text.places import Lines, before
from cachedsl.text.scalars import is_too_long, joined_pairs, quoted, resolve_scalar, shortened
from cachedsl.text.scanner import Events
from cachedsl.text.tree import Node

MAX_DEPTH = 50
MAX_ALIASED = 1000
MAX_VALUES = 20_000

# A node, how deep the values in it are nested, and how many there are.
Built: TypeAlias = "tuple[Node, int, int]"


@define
class _Open:
    """A mapping or list whose end has not come yet."""

    start: int
    bracket: int
    is_mapping: bool
    anchor: str | None
    before: int
    end: int
    height: int = 0
    key: Node | None = None
    items: list[Node] = field(factory=list)
    entries: dict[str, Node] = field(factory=dict)
    keys: dict[str, Span] = field(factory=dict)


class Stop(Exception):
    """The rest of the file is not read; why has been reported."""


class Builder:
    """Builds the tree of one text. What there is of it can be had after an error, too."""

    def __init__(self, text: str, lines: Lines, shift: int) -> None:
        """Begin with `text`; its first character is at offset `shift` of the file."""
        self.findings: list[Finding] = []
        self.broken = False
        self.built = 0
        self.anchored: list[int] = []
        self.events = Events(text)
        self._text = text
        self._lines = lines
        self._shift = shift
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._anchors: dict[str, Built] = {}
        self._aliased = 0

    def report(self, rule: Rule, message: str, span: Span, hint: str | None = None, **more: Any) -> None:
        """Add a finding."""
        self.findings.append(rule.finding(message, span, hint, **more))

    def document(self) -> Node | None:
        """Build the root of the one document. Raises `Stop`, and what PyYAML raises."""
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                message = "a second document begins here; a file holds one"
                self.report(rules.MULTIPLE_DOCUMENTS, message, self._place(event), "move it to a file of its own")
                break
            if isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                start, end = self._offsets(event)
                self._close(end if end > start else None)
        return self._root

    def closed(self) -> Node | None:
        """Return the root as far as it was built, with all that is open closed."""
        if self._stack:
            self._drop_run_on(self._stack[-1])
        while self._stack:
            self._close(None)
        return self._root

    def _drop_run_on(self, parent: _Open) -> None:
        """Drop a last value that runs over several lines: without a closing bracket it took in what comes behind it."""
        name = next(reversed(parent.entries), None)
        if name is not None and parent.entries[name].span.end_line > parent.entries[name].span.line:
            del parent.entries[name], parent.keys[name]

    def _offsets(self, event: Any) -> tuple[int, int]:
        return event.start_mark.index + self._shift, event.end_mark.index + self._shift

    def _place(self, event: Any) -> Span:
        return self._lines.span(*self._offsets(event))

    def _node(self, event: Any) -> None:
        span = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            self._add(*self._alias(str(event.anchor), span))
            return
        if len(self._stack) > MAX_DEPTH:
            raise self._too_deep(span)
        if event.tag is not None:
            self.report(rules.TAG, f"tag `{shortened(event.tag)}` is not allowed", span, "leave the tag out")
        if event.anchor is not None:
            self.anchored.append(span.start)
        self.built += 1
        if self.built > MAX_VALUES:
            message = f"the document holds more than {MAX_VALUES} keys and values"
            self.report(rules.TOO_LARGE, message, span, f"the limit is {MAX_VALUES}")
            self.broken = True
            raise Stop
        if not isinstance(event, yaml.ScalarEvent):
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            bracket = span.end - 1
            self._stack.append(_Open(span.start, bracket, is_mapping, event.anchor, self.built - 1, span.start))
            return
        node = self._scalar(event, span)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, 0, 1)
        self._add(node, 0)

    def _too_deep(self, span: Span) -> Stop:
        self.report(rules.TOO_DEEP, f"values are nested more than {MAX_DEPTH} deep", span)
        self.broken = True
        return Stop()

    def _add(self, node: Node, height: int) -> None:
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        parent.height = max(parent.height, height + 1)
        parent.end = node.span.end
        if not parent.is_mapping:
            parent.items.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            key, parent.key = parent.key, None
            self._entry(parent, key, node)

    def _close(self, end: int | None) -> None:
        """Close the innermost container: at its bracket, or else where the last value in it ends."""
        it = self._stack.pop()
        span = self._lines.span(it.start, it.end if end is None else end)
        bracket = None if end is None else it.bracket
        if it.is_mapping:
            node = Node(it.entries, span, it.keys, bracket=bracket)
        else:
            node = Node(it.items, span, bracket=bracket)
        if it.anchor is not None:
            self._anchors[it.anchor] = (node, it.height, self.built - it.before)
        self._add(node, it.height)

    def _entry(self, parent: _Open, key: Node, value: Node) -> None:
        name = key.value
        if not isinstance(name, str):
            self._report_key(key)
        elif name in parent.entries:
            first = parent.keys[name]
            message = f"duplicate key `{shortened(name)}`; line {first.line} has it already"
            related = [Related("the first place", first)]
            self.report(rules.DUPLICATE_KEY, message, key.span, "keep one of the two", related=related)
        else:
            parent.entries[name], parent.keys[name] = value, key.span

    def _report_key(self, key: Node) -> None:
        if isinstance(key.value, dict | list):
            self.report(rules.BAD_KEY, "a key is a list or a mapping; keys are strings", key.span)
            return
        text = shortened(key.text)
        message = f"key `{text or 'null'}` is not a string; keys are strings"
        if not text:
            self.report(rules.BAD_KEY, message, key.span)
            return
        edit = Edit(key.span.start, key.span.end, quoted(key.text))
        # An anchor or a tag before the key would be overwritten.
        bare = not key.alias and self._slice(key.span) == key.text
        fix = Fix("quote the key", (edit,), safe=True) if bare else None
        self.report(rules.BAD_KEY, message, key.span, f'quote it: "{text}"', fix=fix)

    def _slice(self, span: Span) -> str:
        return self._text[span.start - self._shift : span.end - self._shift]

    def _alias(self, anchor: str, span: Span) -> tuple[Node, int]:
        if anchor not in self._anchors:
            name = shortened(anchor)
            message = f"alias `*{name}` has no finished anchor `&{name}` before it"
            self.report(rules.UNKNOWN_ALIAS, message, span)
            self.broken = True
            return Node(None, span, alias=True), 0
        node, height, size = self._anchors[anchor]
        if len(self._stack) + height > MAX_DEPTH:
            raise self._too_deep(span)
        self._aliased += size
        self.built += size
        if self._aliased > MAX_ALIASED:
            message = f"aliases unfold to more than {MAX_ALIASED} values"
            hint = "write the values out, or use `extends`"
            self.report(rules.ALIAS_BUDGET, message, span, hint)
            self.broken = True
            raise Stop
        return evolve(node, span=span, alias=True), height

    def _scalar(self, event: Any, span: Span) -> Node:
        text: str = event.value
        if event.style is None and not text and span.start == span.end:
            return Node(None, self._close_by(span))
        joined = joined_pairs(text)
        if joined is None:
            self.report(rules.BAD_CHARACTER, "half of a surrogate pair is not a character", span)
            self.broken = True
            return Node("", span, text='""')
        if event.style is not None:
            return Node(joined, span, text=joined or '""')
        if is_too_long(text):
            self.report(rules.SYNTAX, f"a number of {len(text)} digits is too long", span)
            self.broken = True
            return Node(None, span, text=text)
        return Node(resolve_scalar(text), span, text=text)

    def _close_by(self, span: Span) -> Span:
        """Return the place of a value that was left out: PyYAML may put it behind blank lines and comments."""
        end = before(self._text, span.start - self._shift, self.events.comments)
        return self._lines.span(end + self._shift)
