"""Load policies: from a path, by bundled name, or from compact notation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from attrs import field, frozen

from cachedsl.diagnostics import Diagnostic, PolicyError, Span, in_file_order
from cachedsl.policy.beside import beside
from cachedsl.policy.checks import CHECKS, Subject
from cachedsl.policy.checks.idle import idle_keys
from cachedsl.policy.checks.masks import mask_findings
from cachedsl.policy.merge import Tree, merge, without_nulls, write_out
from cachedsl.policy.model import Origin, Policy
from cachedsl.policy.notation import looks_like_notation, parse_notation
from cachedsl.policy.ratios import ratios_findings, with_ratios
from cachedsl.policy.shape import shape_findings
from cachedsl.policy.structure import to_policy
from cachedsl.source import Node, Source, parse, printable, read

SUFFIXES = (".yaml", ".yml")
MAX_PARENTS = 8
Spans = dict[tuple[str, ...], Span]


def load_policy(source: str | os.PathLike[str]) -> Policy:
    """Load a policy: the path, else the bundled policy of that name, else the compact notation.

    Raises:
        PolicyError: with every finding, in file order; or with what was tried, where nothing has that name.
    """
    name = os.fspath(source)
    path = Path(name)
    if os.path.isfile(name):
        return _load(read(path, name), _File(name, path.resolve()))
    bundled = _bundled_path(name)
    if bundled is not None:
        return _load(read(bundled, _label(bundled)), _File(_label(bundled), bundled))
    if looks_like_notation(name):
        return parse_notation(name)
    place = "a folder, not a file" if os.path.isdir(name) else "no such file"
    message = (
        f"`{printable(name)}` is no policy: as a path, {place}; as a bundled name, not one of "
        f"{', '.join(bundled_policies())}; as notation, it does not begin with F<n>B<n>"
    )
    raise PolicyError([Diagnostic("not-found", message, Span(name))])


def parse_policy(text: str, file: str = "<string>") -> Policy:
    """Load a policy from YAML text; it may extend bundled policies only. Raises `PolicyError`."""
    return _load(parse(text, file), _File(file, None))


def bundled_policies() -> tuple[str, ...]:
    """Return the names of the policies that ship with cachedsl, sorted."""
    names = (entry.name for entry in files("cachedsl.policies").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def check_file(path: Path, name: str) -> tuple[Diagnostic, ...]:
    """Return every finding of the policy file at `path`; nothing where it holds."""
    try:
        _load(read(path, name), _File(name, path.resolve()))
    except PolicyError as error:
        return error.diagnostics
    return ()


def check_adapter_file(path: Path, name: str) -> tuple[Diagnostic, ...]:
    """Return every finding of the adapter file at `path` that needs no model; nothing where it holds."""
    source = read(path, name)
    findings = list(source.findings)
    if source.root is not None:
        findings += shape_findings(source.root, "adapter")
    return tuple(in_file_order(findings))


@frozen
class _File:
    """A policy file being read: what messages call it, where it is (None for text), and who extends it."""

    label: str
    path: Path | None
    children: tuple[_File, ...] = field(default=())


@frozen
class _Layer:
    """A file and its parents, merged: the long-form tree with nulls, and where each value was written."""

    tree: Tree
    spans: Spans


def _load(source: Source, file: _File) -> Policy:
    findings: list[Diagnostic] = []
    layer = _layer(source, file, findings)
    if findings or layer is None:
        raise PolicyError(in_file_order(findings))
    tree = without_nulls(layer.tree)
    tree.pop("extends", None)
    name, origin = _slug(Path(file.label).stem), Origin(file.label, layer.spans)
    policy = to_policy(tree, name, origin)
    inherited = [key for key in idle_keys(policy) if policy.place(*key.path).file != file.label]
    for key, inner in (dropped for idle in inherited for dropped in idle.drops):
        tree[key].pop(inner, None)
    if inherited:
        policy = to_policy(tree, name, origin)
    findings += (finding for check in CHECKS for finding in check(Subject(tree, policy)))
    if findings:
        raise PolicyError(in_file_order(findings))
    return policy


def _layer(source: Source, file: _File, findings: list[Diagnostic]) -> _Layer | None:
    """Read one file and its parents; findings are added to `findings`, and None means that there were some."""
    before = len(findings)
    findings += source.findings
    root = source.root
    if root is None:
        return None
    findings += shape_findings(root)
    if len(findings) == before:
        findings += _masks(root)
        findings += ratios_findings(root, file.path)
    parent = _parent(root, file, findings)
    if len(findings) > before:
        return None
    tree, spans = write_out(with_ratios(root.plain(), file.path)), dict(_spans(root))
    if parent is None:
        return _Layer(tree, spans)
    below = {key: value for key, value in parent.tree.items() if key not in ("name", "description", "extends")}
    return _Layer(merge(below, tree), {**parent.spans, **spans})


def _masks(root: Node) -> Iterator[Diagnostic]:
    holders = [root, *root.mapping["stacks"].mapping.values()] if "stacks" in root.mapping else [root]
    for holder in holders:
        steps = holder.mapping.get("steps")
        if steps is not None and isinstance(steps.value, dict):
            yield from mask_findings(steps.plain(), steps.span)


def _parent(root: Node, file: _File, findings: list[Diagnostic]) -> _Layer | None:
    node = root.mapping.get("extends")
    if node is None or not isinstance(node.value, str) or not node.value:
        return None
    found = "deep" if len(file.children) >= MAX_PARENTS else _find_parent(node.value, file)
    if isinstance(found, str):
        code, message, hint = _EXTENDS[found]
        findings.append(Diagnostic(code, f"extends: `{printable(node.value)}` {message}", node.span, hint))
        return None
    chain = (*file.children, file)
    parent = _File(_label(found) if _bundled_path(node.value) == found else str(_shown(found, file)), found, chain)
    if found in [link.path for link in chain]:
        names = " → ".join([*(link.label for link in chain), parent.label])
        message = f"extends: a policy cannot extend itself: {names}"
        findings.append(Diagnostic("extends-cycle", message, node.span, "take one of these `extends` out"))
        return None
    return _layer(read(found, parent.label), parent, findings)


_EXTENDS = {
    "deep": (
        "extends-deep",
        f"would be parent number {MAX_PARENTS + 1}",
        f"a policy has at most {MAX_PARENTS} parents above one another",
    ),
    "missing": (
        "extends-missing",
        "is neither a file beside this one nor a bundled policy",
        "bundled policies go by name, files by a path relative to this one",
    ),
    "outside": (
        "extends-outside",
        "leaves the policy's own tree",
        "the tree is the nearest folder above with `.git` or `pyproject.toml`, else the file's own folder",
    ),
}


def _find_parent(name: str, file: _File) -> Path | str:
    """Return the path that `extends: name` means, or the key of what is wrong in `_EXTENDS`."""
    if file.path is not None:
        found = beside(name, file.path)
        if found != "missing":
            return found
    bundled = _bundled_path(name)
    return bundled if bundled is not None else "missing"


def _shown(path: Path, child: _File) -> Path:
    """Return a parent's path as relative to where its child was named."""
    assert child.path is not None
    return Path(os.path.normpath(Path(child.label).parent / os.path.relpath(path, child.path.parent)))


def _bundled_path(name: str) -> Path | None:
    stem = name
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    if stem not in bundled_policies():
        return None
    return Path(str(files("cachedsl.policies") / f"{stem}.yaml")).resolve()


def _label(bundled: Path) -> str:
    return f"<bundled>/{bundled.name}"


def _slug(stem: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._") or "policy"


def _spans(root: Node) -> Iterator[tuple[tuple[str, ...], Span]]:
    """Yield the place of every value, by key path; a shorthand's parts are where the shorthand is."""
    todo: list[tuple[tuple[str, ...], Any]] = [((key,), node) for key, node in root.mapping.items()]
    while todo:
        path, node = todo.pop()
        yield path, node.span
        todo += [((*path, key), inner) for key, inner in node.mapping.items()]
