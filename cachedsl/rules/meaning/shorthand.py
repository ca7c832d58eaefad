"""A mapping that a shorthand says in one word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cachedsl.language.part import PartOf, declared_keys
from cachedsl.language.policy import Policy
from cachedsl.rules.base import Check, Findings, Meaning, offer
from cachedsl.text.entries import replace_value
from cachedsl.text.finding import Fix, Rule
from cachedsl.text.scalars import written
from cachedsl.text.tree import Document, Node

RULE = Rule(
    "shorthand",
    "meaning",
    "a mapping that has a shorthand of one word",
    severity="warning",
    why="Documentation, reports and other policies use the shorthand. It also keeps a later change to one line.",
    bad="compute: {front: 8, back: 0}\nwarmup: {steps: 4}",
    good="compute: F8B0\nwarmup: 4",
    category="style",
    fix="Writes the shorthand; safe, because it means the same if nothing is extended.",
)


def check(context: Meaning) -> Findings:
    document = context.document
    if document is None or document.root is None or context.parent is not None:
        return  # over a parent's mapping, a shorthand says more than the mapping does
    for path, node, short in _long(Policy, document.root, ()):
        text = written(short)
        fix = _fix(document, node, text)
        message = f"{'.'.join(path)}: this is `{text}` in short"
        yield RULE.finding(message, node.span, f"`{path[-1]}: {text}`", fix=fix)


def _fix(document: Document, node: Node, text: str) -> Fix | None:
    return offer(document, f"Write `{text}`", lambda: replace_value(document, node, text), safe=True)


def _long(cls: Any, node: Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node, Any]]:
    """Yield each mapping below a node that has a shorthand, and the shorthand."""
    keys = declared_keys(cls) if node.mapping else {}
    for name, inner in node.mapping.items():
        kind = keys[name].kind if name in keys else None
        if not isinstance(kind, PartOf) or not inner.mapping:
            continue
        short = kind.shorthand({**dict.fromkeys(declared_keys(kind.cls)), **inner.plain()})
        if isinstance(short, Mapping):
            yield from _long(kind.cls, inner, (*path, name))
        else:
            yield (*path, name), inner, short


CHECKS = (Check(RULE, check),)
