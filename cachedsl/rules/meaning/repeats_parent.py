"""A key says what the policy that is extended says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cachedsl.language.part import keys_of
from cachedsl.rules.asking import without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule
from cachedsl.text.tree import Node

RULE = Rule(
    "repeats-parent",
    "meaning",
    "a key that repeats the value of the parent",
    severity="warning",
    why="A reader looks at a child to see what it changes. A repeated value hides the changes. It also keeps "
    "the old value when the parent is changed.",
    bad="extends: f8b8\nwarmup: 8  # as there",
    good="extends: f8b8",
    category="style",
    fix="Removes the key; safe, because the plan stays the same.",
)


WHOLE = ("steps", "refresh")
"""What a child replaces whole."""
OWN = frozenset({"version", "name", "description", "extends", "stacks", "runtime"})
CHOICES = {"predict": "method", "signal": "tap"}
"""Parts that begin anew with another choice, whatever the parent said beside it."""


def check(context: Meaning) -> Findings:
    parent, document = context.parent, context.document
    if parent is None or document is None or document.root is None:
        return
    for path in _repeated(context.policy, parent, document.root, ()):
        fix = without(document, path, safe=True)
        message = f"{'.'.join(path)}: the policy that is extended says the same"
        yield RULE.finding(message, context.span(*path), "leave it out", fix=fix)


def _repeated(part: Any, parent: Any, node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    keys = keys_of(type(part))
    for name, inner in node.mapping.items():
        if name not in keys or (not path and name in OWN):
            continue
        value, before = getattr(part, keys[name].name), getattr(parent, keys[name].name)
        if inner.mapping and name not in WHOLE and type(value) is type(before):
            choice = CHOICES.get(name)
            if choice is None or getattr(value, choice) == getattr(before, choice):
                yield from _repeated(value, before, inner, (*path, name))
        elif value == before:
            yield (*path, name)


CHECKS = (Check(RULE, check),)
