"""The forms that settings of other engines are written in, each read as a tree of values with their places.

YAML and JSON are read by `cachedsl.text`. Environment variables, command lines and calls in Python are read here, into
the same kind of tree.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Literal

from attrs import field, frozen

from cachedsl.rules.convert.settings import DUPLICATE
from cachedsl.text.document import parse_document, resolve_scalar
from cachedsl.text.finding import Finding, Span
from cachedsl.text.places import Lines
from cachedsl.text.rules import SYNTAX
from cachedsl.text.tree import Document, Node

Form = Literal["yaml", "env", "arguments", "python"]
CALL = "()"
"""In Python: the key of a call's own name; arguments without a keyword go by their numbers, "0" and so on."""


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
    if suffix in ("yaml", "yml", "json"):
        return "yaml"
    if suffix == "py" or _IMPORT.search(text):
        return "python"
    bare = re.sub(r"(?m)^\s*#.*$", "", text).strip()
    if bare.startswith("{"):
        return "yaml"
    if suffix == "env" or _ASSIGNED.match(bare):
        return "env"
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
        tree = ast.parse(text)
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
        self.starts = [0]
        for line in made.text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.text_lines = made.text.splitlines(keepends=True)
        self.values: dict[str, ast.expr] = {}
        seen: set[str] = set()
        for one in ast.walk(tree):
            if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
                name = one.targets[0].id
                self.values[name] = one.value
                if name in seen:
                    del self.values[name]  # which one holds cannot be told
                seen.add(name)

    def calls(self) -> Iterator[ast.Call]:
        inner: set[int] = set()
        for one in ast.walk(self.tree):
            if isinstance(one, ast.Call):
                if id(one) not in inner:
                    yield one
                inner |= {id(below) for below in ast.walk(one) if isinstance(below, ast.Call)}

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
        if isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.USub) and isinstance(one.operand, ast.Constant):
            number = one.operand.value
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                return Node(-number, span, text=self.made.text[start:end])
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
                below = self.node(value, depth + 1)
                values |= below.mapping
                keys |= below.keys
        return Node(values, self.made.lines.span(*self.offsets(one)), keys)

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
            node = self.node(argument, depth + 1)
            values[str(index)], keys[str(index)] = node, node.span
        for keyword in one.keywords:
            node = self.node(keyword.value, depth + 1)
            if keyword.arg is None:
                values |= node.mapping
                keys |= node.keys
            else:
                self.add(values, keys, keyword.arg, keyword, node)
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


def document_of(text: str, file: str) -> Document:
    """Return a text that is no YAML as a document, for findings that show lines."""
    return Document(file, text, lines=Lines(text, file))
