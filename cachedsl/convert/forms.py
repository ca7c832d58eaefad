"""The forms that settings of other engines are written in, each read as a tree of values with their places.

YAML and JSON are read by `cachedsl.text`. Environment variables, command lines and calls in Python are read here, into
the same kind of tree.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, Literal

from attrs import field, frozen

from cachedsl.convert.names import alterations, assigned_once
from cachedsl.rules.convert.settings import DUPLICATE
from cachedsl.text.document import parse_document, resolve_scalar
from cachedsl.text.finding import Finding, Span
from cachedsl.text.places import BOM, Lines
from cachedsl.text.rules import SYNTAX
from cachedsl.text.tree import Node

Form = Literal["yaml", "env", "arguments", "python"]
CALL = "()"
"""In Python: the key of a call's own name; arguments without a keyword go by their numbers, "0" and so on."""
UNKNOWN = "**"
"""In Python: the key of something that adds or changes settings and cannot be told without running the program."""


class Expression(str):
    """What stands in Python where a plain value is expected: a name, or something that must be worked out."""


@frozen(eq=False)
class Settings:
    """Settings as they were read.

    Attributes:
        form: how they are written.
        root: what they are, a mapping; None where nothing could be read.
        findings: what is wrong with the text.
        file: what the user calls it.
    """

    form: Form
    root: Node | None
    findings: tuple[Finding, ...]
    file: str
    calls: tuple[Node, ...] = field(default=())

    def span(self, path: tuple[str | int, ...]) -> Span:
        """Return where the setting at `path` is written, else the nearest around it."""
        node, span = self.root, Span(self.file)
        for step in path:
            value = None if node is None else node.value
            if isinstance(value, dict) and str(step) in value:
                assert node is not None
                span = node.keys.get(str(step), value[str(step)].span)
                node = value[str(step)]
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                node = value[step]
                span = node.span
            else:
                break
        return span


def read_settings(text: str, file: str) -> Settings:
    """Read settings in whatever form they are written: Python, environment, a command line, else YAML or JSON."""
    form = form_of(text, file)
    if form == "yaml":
        document = parse_document(text, file)
        return Settings("yaml", document.root, document.findings, file)
    return {"env": _environment, "arguments": _arguments, "python": _python}[form](text, file)


_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Z][A-Z0-9_]*)=", re.M)
_FLAG = re.compile(r"(?:^|\s)--[a-z][a-z0-9_-]*")
_CALLED = re.compile(r"^\s*(?:[\w.]+\s*=\s*)?[A-Za-z_][\w.]*\(", re.M)
_IMPORT = re.compile(r"^(?:from\s+[\w.]+\s+)?import\s", re.M)


def form_of(text: str, file: str = "") -> Form:
    """Tell how settings are written, by the file's name where it says so, else by what stands there."""
    suffix = file.rpartition(".")[2] if "." in file else ""
    text = text.removeprefix(BOM)
    if suffix in ("yaml", "yml", "json"):
        return "yaml"
    if suffix == "py" or _IMPORT.search(text):
        return "python"
    bare = re.sub(r"(?m)^\s*#.*$", "", text).strip()
    if bare.startswith("{"):
        return "yaml"
    if suffix == "env" or _ASSIGNED.match(bare):
        return "arguments" if suffix != "env" and _FLAG.search(bare) else "env"
    if _FLAG.search(bare) and not re.match(r"[\w$]+\s*:", bare):
        return "arguments"
    return "python" if _CALLED.match(bare) else "yaml"


class _Builder:
    """Makes nodes of a text."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.lines = text, Lines(text, file)
        self.findings: list[Finding] = []

    def scalar(self, start: int, end: int, text: str | None = None) -> Node:
        said = self.text[start:end] if text is None else text
        return Node(resolve_scalar(said), self.lines.span(start, end), text=said)

    def mapping(self, entries: Iterator[tuple[str, tuple[int, int], Node]]) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        for name, (start, end), node in entries:
            span = self.lines.span(start, end)
            if name in values:
                message = f"{name} is set twice, first in line {keys[name].line}"
                self.findings.append(DUPLICATE.finding(message, span, "keep one of the two"))
            values[name], keys[name] = node, span
        return Node(values, self.lines.span(0, len(self.text)), keys)


_WORD = r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"'\\;&|]"
_VARIABLE = re.compile(rf"(?<![\w-])([A-Z][A-Z0-9_]*)=((?:{_WORD})*)")


def _environment(text: str, file: str) -> Settings:
    """Read `NAME=value` wherever it stands: lines of an .env file, `export` lines, before a command."""
    made = _Builder(text, file)

    def entries() -> Iterator[tuple[str, tuple[int, int], Node]]:
        for found in _VARIABLE.finditer(_without_comments(text)):
            value = _unquoted(found[2])
            yield found[1], found.span(1), made.scalar(*found.span(2), value)

    root = made.mapping(entries())
    return Settings("env", root, tuple(made.findings), file)


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)(^|[ \t])#.*$", lambda found: found[1] + " " * (len(found[0]) - len(found[1])), text)


def _unquoted(word: str) -> str:
    return re.sub(r"\"((?:[^\"\\]|\\.)*)\"|'([^']*)'", lambda found: found[1] or found[2] or "", word)


_ARGUMENT = re.compile(rf"(?<!\S)(--[a-z][a-z0-9_-]*)(?:(?:=|[ \t]+|[ \t]*\\\n[ \t]*)(?!--)((?:{_WORD})+))?")


def _arguments(text: str, file: str) -> Settings:
    """Read `--name value` and `--name=value`; a flag without a value is true. Variables before a command count too."""
    made = _Builder(text, file)
    plain = _without_comments(text)

    def entries() -> Iterator[tuple[str, tuple[int, int], Node]]:
        for found in _VARIABLE.finditer(plain):
            yield found[1], found.span(1), made.scalar(*found.span(2), _unquoted(found[2]))
        for found in _ARGUMENT.finditer(plain):
            if found[2] is None:
                yield found[1], found.span(1), made.scalar(*found.span(1), "true")
            else:
                yield found[1], found.span(1), made.scalar(*found.span(2), _unquoted(found[2]))

    root = made.mapping(entries())
    return Settings("arguments", root, tuple(made.findings), file)


def _python(text: str, file: str) -> Settings:
    """Read every call of a module, the outermost first; names that are assigned once stand for their values."""
    made = _Builder(text, file)
    try:
        tree = ast.parse(text.removeprefix(BOM))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = made.lines.span(0, 0)
        line, column = getattr(error, "lineno", None), getattr(error, "offset", None)
        if line:
            at = Span(file, line, column or 1)
        message = f"no Python: {getattr(error, 'msg', error)}"
        return Settings("python", None, (SYNTAX.finding(message, at),), file)
    reader = _Python(made, tree)
    calls = tuple(reader.node(call) for call in reader.calls())
    if not calls:
        return Settings("python", Node({}, made.lines.span(0, len(text))), tuple(made.findings), file)
    return Settings("python", calls[0], tuple(made.findings), file, calls)


class _Python:
    """Makes nodes of Python; nothing is run."""

    MOST = 20_000

    def __init__(self, made: _Builder, tree: ast.Module) -> None:
        self.made, self.tree, self.count = made, tree, 0
        # Python ends lines at these alone; a mark at the beginning is no part of the first.
        text = made.text.removeprefix(BOM)
        self.text_lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
        self.starts = [len(made.text) - len(text)]
        for line in self.text_lines:
            self.starts.append(self.starts[-1] + len(line))
        self.values = assigned_once(tree)
        self.altered = {
            id(self.values[name]): change for name, change in alterations(tree).items() if name in self.values
        }

    def calls(self) -> Iterator[ast.Call]:
        """Yield the outermost calls, then those inside others."""
        inner: set[int] = set()
        below = []
        for one in ast.walk(self.tree):
            if isinstance(one, ast.Call):
                if id(one) in inner:
                    below.append(one)
                else:
                    yield one
                inner |= {id(other) for other in ast.walk(one) if isinstance(other, ast.Call)}
        yield from below

    def offsets(self, one: ast.expr | ast.keyword) -> tuple[int, int]:
        def at(line: int, column: int) -> int:
            text = self.text_lines[line - 1] if line - 1 < len(self.text_lines) else ""
            return self.starts[line - 1] + len(text.encode()[:column].decode("utf-8", "replace"))

        return at(one.lineno, one.col_offset), at(one.end_lineno or one.lineno, one.end_col_offset or 0)

    def node(self, one: ast.expr, depth: int = 0) -> Node:
        start, end = self.offsets(one)
        span = self.made.lines.span(start, end)
        self.count += 1
        if depth > 20 or self.count > self.MOST:
            return Node(Expression(self.made.text[start:end]), span)
        if isinstance(one, ast.Name) and one.id in self.values:
            return self.node(self.values[one.id], depth + 1)
        if isinstance(one, ast.Constant) and isinstance(one.value, (str, int, float, bool, type(None))):
            return Node(one.value, span, text=self.made.text[start:end])
        if isinstance(one, ast.UnaryOp) and isinstance(one.operand, ast.Constant):
            number = one.operand.value
            if (
                isinstance(one.op, (ast.USub, ast.UAdd))
                and isinstance(number, (int, float))
                and type(number) is not bool
            ):
                value = -number if isinstance(one.op, ast.USub) else number
                return Node(value, span, text=self.made.text[start:end])
        if isinstance(one, (ast.List, ast.Tuple)):
            return Node([self.node(item, depth + 1) for item in one.elts], span)
        if isinstance(one, ast.Dict):
            return self.dictionary(one, depth)
        if isinstance(one, ast.Call):
            return self.call(one, depth)
        return Node(Expression(self.made.text[start:end]), span)

    def dictionary(self, one: ast.Dict, depth: int) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        for key, value in zip(one.keys, one.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self.add(values, keys, key.value, key, self.node(value, depth + 1))
            elif key is None:
                self.spread(values, keys, value, depth)
            elif not isinstance(key, ast.Constant):
                self.unknown(values, keys, key)
        self.change(values, keys, one)
        return Node(values, self.made.lines.span(*self.offsets(one)), keys)

    def spread(self, values: dict[str, Node], keys: dict[str, Span], one: ast.expr, depth: int) -> None:
        """Add what stands behind two stars."""
        node = self.node(one, depth + 1)
        made = call_name(node)
        if not isinstance(node.value, dict) or (made and made != "dict") or (made and "0" in node.mapping):
            self.unknown(values, keys, one)
            return
        values |= {name: inner for name, inner in node.mapping.items() if name != CALL}
        keys |= node.keys

    def unknown(self, values: dict[str, Node], keys: dict[str, Span], one: ast.expr) -> None:
        """Add that there is more than can be told."""
        start, end = self.offsets(one)
        span = self.made.lines.span(start, end)
        values.setdefault(UNKNOWN, Node(Expression(self.made.text[start:end]), span))
        keys.setdefault(UNKNOWN, span)

    def change(self, values: dict[str, Node], keys: dict[str, Span], one: ast.expr) -> None:
        """Add that what stands here is changed elsewhere."""
        if id(one) in self.altered:
            self.unknown(values, keys, self.altered[id(one)])

    def call(self, one: ast.Call, depth: int) -> Node:
        name = one.func
        base: Node | None = None
        spelt = ""
        if isinstance(name, ast.Attribute):
            spelt = name.attr
            if isinstance(name.value, ast.Call):  # DBCacheConfig().reset(...)
                base = self.node(name.value, depth + 1)
        elif isinstance(name, ast.Name):
            spelt = name.id
        values: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        if base is not None and spelt == "reset":
            values, keys = dict(base.mapping), dict(base.keys)
        else:
            values[CALL] = Node(spelt, self.made.lines.span(*self.offsets(name)))
        for index, argument in enumerate(one.args):
            if isinstance(argument, ast.Starred):
                self.unknown(values, keys, argument)
                break
            node = self.node(argument, depth + 1)
            values[str(index)], keys[str(index)] = node, node.span
        for keyword in one.keywords:
            if keyword.arg is None:
                self.spread(values, keys, keyword.value, depth)
            else:
                self.add(values, keys, keyword.arg, keyword, self.node(keyword.value, depth + 1))
        self.change(values, keys, one)
        return Node(values, self.made.lines.span(*self.offsets(one)), keys)

    def add(
        self, values: dict[str, Node], keys: dict[str, Span], name: str, where: ast.expr | ast.keyword, node: Node
    ) -> None:
        start, _ = self.offsets(where)
        values[name], keys[name] = node, self.made.lines.span(start, start + len(name))


def call_name(node: Node) -> str:
    """Return what a call of Python calls; an empty text for any other value."""
    found = node.mapping.get(CALL)
    return found.value if found is not None and isinstance(found.value, str) else ""


def as_written(value: Any) -> Any:
    """Return a call among plain values as a message shows it, such as `f(...)`; any other value as it is."""
    return Expression(f"{value[CALL]}(...)") if isinstance(value, dict) and CALL in value else value
