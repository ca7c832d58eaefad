"""Make a part of a document's tree, and say at its places what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cattrs.errors import BaseValidationError

from cachedsl.language.kinds import QUOTE, UNQUOTE, quote_it
from cachedsl.language.misfit import Misfit, Misfits, Path
from cachedsl.language.part import CONVERTER, declared_keys, misfits
from cachedsl.language.policy import Policy
from cachedsl.language.refusals import UNKNOWN_KEY, describe, finding_of, nearest
from cachedsl.text.entries import CannotEdit, insert_entry, rename_key, replace_value
from cachedsl.text.finding import Finding, Fix
from cachedsl.text.scalars import shortened
from cachedsl.text.tree import Document, Node

SHOWN = 20
"""Unknown keys of one mapping that are named each by itself."""


def read_part(document: Document, cls: type, tree: Any) -> tuple[Any, list[Finding]]:
    """Return the part that `tree` means, None where it does not fit, and what does not fit."""
    try:
        return CONVERTER.structure(tree, cls), []
    except (BaseValidationError, Misfit, Misfits) as error:
        other = _other_format(document, cls)
        return None, list(_findings(document, misfits(error))) if other is None else [other]


def _other_format(document: Document, cls: type) -> Finding | None:
    """Say that a file is another one of ours, such as a plan: of its keys there is nothing to say then."""
    node = None if document.root is None else document.root.mapping.get("format")
    if document.root is None or node is None or not str(node.value).startswith("cachedsl."):
        return None
    kind = cls.__name__.lower()
    article = "an" if kind[0] in "aeiou" else "a"
    message = f"unknown key `format`: this file is a `{shortened(str(node.value))}`, and no {kind}"
    return UNKNOWN_KEY.finding(message, document.root.keys["format"], f"name the file of {article} {kind}")


def _findings(document: Document, found: Iterator[Misfit]) -> Iterator[Finding]:
    unknown: dict[Path, int] = {}
    for misfit in found:
        if misfit.code == "missing-key" and document.broken:
            continue  # it may be in what could not be read
        if document.broken and isinstance(misfit.value, str) and "\ufffd" in misfit.value:
            continue  # a character was refused already, and this one stands in for it
        if misfit.code == "unknown-key":
            unknown[misfit.path] = count = unknown.get(misfit.path, 0) + 1
            if count > SHOWN:
                continue
        yield at_place(document, misfit)
    for path, count in unknown.items():
        if count > SHOWN:
            more = Misfit("keys of the language", None, path=path, message=f"and {count - SHOWN} more unknown keys")
            yield at_place(document, more)


def at_place(document: Document, misfit: Misfit) -> Finding:
    """Say what does not fit where it was written."""
    assert document.root is not None, "there is no misfit without a tree"
    node = find(document.root, misfit.path)
    span = node.span
    if misfit.key is not None and misfit.code != "missing-key":
        span = node.keys.get(misfit.key, node.span)
    text = node.text if not isinstance(node.value, (dict, list)) else None
    value = describe(misfit.value, text) if misfit.key is None else describe(misfit.key)
    if misfit.hint is not None and misfit.hint.startswith(QUOTE):
        misfit.hint = quote_it(node.value, node.text)  # `0110` is not the number 110
    return finding_of(misfit, span, value, _fix(document, node, misfit))


def _fix(document: Document, node: Node, misfit: Misfit) -> Fix | None:
    try:
        return _edits(document, node, misfit)
    except CannotEdit:
        return None


def _edits(document: Document, node: Node, misfit: Misfit) -> Fix | None:
    if misfit.code == "unknown-key" and misfit.key is not None:
        near = nearest(misfit.key, misfit.expected.split(", "))
        if near is not None and near not in node.mapping:
            return Fix(f"Rename it to `{near}`", rename_key(document, node, misfit.key, near), safe=False)
    elif misfit.code == "missing-key" and misfit.key == "version" and not misfit.path:
        keys = declared_keys(Policy)
        if any(key not in keys and nearest(key, keys) == "version" for key in node.mapping):
            return None  # it is there, misspelt
        return Fix("Add `version: 1`", insert_entry(document, node, "version", "1"), safe=True)
    elif misfit.hint is not None and misfit.hint.startswith((QUOTE, UNQUOTE)):
        quotes = misfit.hint.startswith(QUOTE)
        title = "Put it in quotes" if quotes else "Take it out of the quotes"
        return Fix(title, replace_value(document, node, f'"{node.text}"' if quotes else node.text), safe=True)
    return None


def find(root: Node, path: Path) -> Node:
    """Return the node at `path`, or the nearest one around it."""
    node = root
    for step in path:
        inner: Any = node.value
        if isinstance(inner, dict) and str(step) in inner:
            node = inner[str(step)]
        elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
            node = inner[step]
        else:
            break
    return node
