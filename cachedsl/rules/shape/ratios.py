"""Magnitude ratios in a file of their own, as `cachedsl calibrate magnitude` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cachedsl.language.misfit import Misfit, Misfits
from cachedsl.language.ratios import RatiosKind
from cachedsl.rules.shape.beside import beside
from cachedsl.text.document import read_document
from cachedsl.text.finding import Finding, Rule
from cachedsl.text.scalars import printable
from cachedsl.text.tree import Document, Node

RULE = Rule(
    "bad-ratios",
    "shape",
    "a file of magnitude ratios that cannot be used",
    why="The signal `magnitude` needs one ratio for each step, and each must be above 0. Nothing can stand in "
    "for a missing one.",
    bad="ratios: {cond: [1.0, 0]}",
    good="ratios: {cond: [1.0, 0.98]}",
)
RULES = (RULE,)
HINT = "ratios are a list, a mapping of CFG branches to lists, or a file beside the policy that has them"


class BadRatios(ValueError):
    """The ratios do not hold; the message says why."""


def with_ratios(
    tree: Mapping[str, Any], document: Document, policy: Path | None
) -> tuple[dict[str, Any], list[Finding]]:
    """Put what the named files hold in the place of their names; ratios that do not hold are findings, and left out."""
    found: list[Finding] = []
    changed = dict(tree)
    for path in _named(tree):
        name = _at(tree, path)
        try:
            ratios = read_named(name, policy)
        except BadRatios as error:
            node = _node(document.root, path)
            found.append(RULE.finding(f"reuse.signal.ratios: {error}", node.span, HINT))
            ratios = [1.0]
        _set(changed, path, ratios)
    return changed, found


def read_named(name: str, policy: Path | None) -> Any:
    """Return the ratios in the file that a policy at `policy` names. Raises `BadRatios`."""
    label = printable(name)
    if policy is None:
        raise BadRatios(f"`{label}`: a policy that is no file has no file beside it")
    found = beside(name, policy)
    if not isinstance(found, Path):
        reason = {"missing": "there is no such file", "outside": "it leaves the policy's own tree"}[found]
        raise BadRatios(f"`{label}`: {reason}")
    document = read_document(found, label)
    if document.findings:
        raise BadRatios(f"`{label}` cannot be read: {document.findings[0].message}")
    ratios = None if document.root is None else document.root.plain().get("ratios")
    try:
        RatiosKind().read(ratios)
    except (Misfit, Misfits):
        raise BadRatios(f"`{label}` has no `ratios` of numbers above 0, one a step") from None
    return ratios


def ratios_findings(document: Document) -> Iterator[Finding]:
    """Yield what is wrong with a file of ratios by itself."""
    yield from document.findings
    if document.root is None:
        return
    for key, span in document.root.keys.items():
        if key != "ratios":
            yield RULE.finding(f"unknown key `{printable(key)}` in a file of ratios", span, "it has `ratios` alone")
    node = document.root.mapping.get("ratios")
    try:
        RatiosKind().read(None if node is None else node.plain())
    except Misfit as misfit:
        span = document.root.span if node is None else node.span
        yield RULE.finding(f"ratios: expected {misfit.expected}", span, HINT)
    except Misfits as several:
        for one in several.found:
            inner = _node(node, one.path)
            where = ".".join(map(str, ("ratios", *one.path)))
            yield RULE.finding(f"{where}: expected {one.expected}", inner.span, HINT)


def _named(tree: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    stacks = tree.get("stacks")
    holders: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    if isinstance(stacks, Mapping):
        holders += [(("stacks", name), partial) for name, partial in stacks.items()]
    for path, holder in holders:
        inner: Any = holder
        for key in ("reuse", "signal", "ratios"):
            inner = inner.get(key) if isinstance(inner, Mapping) else None
        if isinstance(inner, str) and inner:
            yield (*path, "reuse", "signal", "ratios")


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        tree[step] = dict(tree[step])
        tree = tree[step]
    tree[path[-1]] = value


def _node(root: Node | None, path: tuple[Any, ...]) -> Node:
    assert root is not None, "what is named was written"
    node = root
    for step in path:
        inner: Any = node.value
        node = inner[step]
    return node
