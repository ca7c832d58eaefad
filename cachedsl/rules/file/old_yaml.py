"""A value that other readers of YAML take for something else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cachedsl.rules.base import Check, Findings, PolicyFile, offer
from cachedsl.text.entries import replace_value
from cachedsl.text.finding import Fix, Rule
from cachedsl.text.scalars import quoted
from cachedsl.text.tree import Document, Node

RULE = Rule(
    "old-yaml",
    "file",
    "a value that other readers of YAML understand differently",
    severity="warning",
    why="cachedsl reads YAML 1.2. Many tools still read YAML 1.1, and take `no` for false, `010` for eight and "
    "`0o17` for text. A script that reads the same file then works with another value.",
    bad="warmup: 010",
    good="warmup: 10",
    category="suspicious",
    fix="Quotes words and writes numbers in decimal; safe, because the value stays the same.",
)


WORDS = frozenset({"y", "n", "yes", "no", "on", "off"})
OCTAL = re.compile(r"[-+]?0[0-9]+|0o[0-7]+")


def check(context: PolicyFile) -> Findings:
    for node in _scalars(context.root):
        said = _elsewhere(node, context.document)
        if said is not None:
            fix = _fix(node, context.document)
            hint = "put it in quotes" if isinstance(node.value, str) else f"write `{node.value}`"
            message = f"`{node.text}` is {_here(node)} here, and {said} for readers of YAML 1.1"
            yield RULE.finding(message, node.span, hint, fix=fix)


def _elsewhere(node: Node, document: Document) -> str | None:
    """Say what a plain value is for other readers, None where it is the same."""
    if not node.text or document.text[node.span.start] != node.text[0]:
        return None
    if isinstance(node.value, str) and node.text.lower() in WORDS:
        return "true or false"
    if not isinstance(node.value, int) or isinstance(node.value, bool) or not OCTAL.fullmatch(node.text):
        return None
    if node.text.startswith("0o"):
        return "text"
    octal = set(node.text.lstrip("+-")) <= set("01234567")
    return str(int(node.text, 8)) if octal and int(node.text, 8) != node.value else None if octal else "text"


def _here(node: Node) -> str:
    return quoted(node.value) if isinstance(node.value, str) else str(node.value)


def _fix(node: Node, document: Document) -> Fix | None:
    text = _here(node)
    return offer(document, f"Write `{text}`", lambda: replace_value(document, node, text), safe=True)


def _scalars(node: Node) -> Iterator[Node]:
    """Yield every scalar below a node, aliases aside."""
    if node.alias:
        return
    if isinstance(node.value, (dict, list)):
        for inner in node.value.values() if isinstance(node.value, dict) else node.value:
            yield from _scalars(inner)
    else:
        yield node


CHECKS = (Check(RULE, check),)
