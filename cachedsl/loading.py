"""The one way from text to policy: document → shape → parents → policy → meaning."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO

from attrs import evolve, field, frozen

from cachedsl.language.notation import looks_like_notation, parse_notation
from cachedsl.language.origin import Origin
from cachedsl.language.part import CONVERTER, long_form
from cachedsl.language.policy import Policy, slug_of
from cachedsl.language.trees import Tree, merge, without_nulls
from cachedsl.rules.base import Meaning
from cachedsl.rules.meaning.no_effect import idle_keys
from cachedsl.rules.registry import run_checks
from cachedsl.rules.shape.beside import beside
from cachedsl.rules.shape.extends import CYCLE, MAX_PARENTS, WORDS
from cachedsl.rules.shape.names import NOT_FOUND
from cachedsl.rules.shape.ratios import with_ratios
from cachedsl.rules.shape.reading import read_part
from cachedsl.text.document import parse_document, read_document, read_stream
from cachedsl.text.finding import Finding, PolicyError, Span, in_file_order
from cachedsl.text.paths import real_path
from cachedsl.text.scalars import printable
from cachedsl.text.tree import Document, Node

SUFFIXES = (".yaml", ".yml")
SCHEMA_KEY = "$schema"
"""For editors of JSON, which know no comments; it says nothing of the policy."""


def load_policy(source: str | os.PathLike[str]) -> Policy:
    """Load a policy from a file, by the name of a bundled one, or from compact notation.

    Args:
        source: a path, else the name of a bundled policy (`"f8b0"`), else notation (`"F8B0_W4_R0.12"`).

    Returns:
        The policy. What it extends is merged in.

    Raises:
        PolicyError: the file has errors, and the error carries all of them, in file order. Or nothing has that name,
            and it says what was tried.
        TypeError: `source` is neither text nor a path.

    Example:
        >>> from cachedsl import load_policy
        >>> load_policy("F8B0_W4_R0.12").reuse.threshold
        0.12
    """
    name = _name(source)
    if os.path.isfile(name):
        return load_document(read_document(Path(name), name), real_path(name))
    bundled = bundled_path(name)
    if bundled is not None:
        if name.endswith(SUFFIXES):
            warnings.warn(
                f"there is no file {name!r}; the bundled policy of that name is taken. Say {bundled.stem!r} for the "
                "bundled one",
                stacklevel=2,
            )
        return load_document(read_document(bundled, _label(bundled)), bundled)
    if looks_like_notation(name):
        return parse_notation(name)
    place = "a folder, not a file" if os.path.isdir(name) else "no such file"
    message = (
        f"`{printable(name)}` is no policy: as a path, {place}; as a bundled name, not one of "
        f"{', '.join(bundled_policies())}; as notation, it does not begin with F<n>B<n>"
    )
    raise PolicyError([NOT_FOUND.finding(message, Span(name))])


def as_policy(source: Policy | str | os.PathLike[str]) -> Policy:
    """Return a policy as it is, and load one that is named: a path, a bundled name or notation."""
    return source if isinstance(source, Policy) else load_policy(source)


def _name(source: Any) -> str:
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"load_policy: expected a path, a bundled policy's name or notation such as F8B0_R0.12, got {source!r}"
        )
    name = os.fspath(source)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    return name


def parse_policy(text: str, file: str = "<string>") -> Policy:
    """Load a policy from YAML text; it may extend bundled policies only. Raises `PolicyError`."""
    return load_document(parse_document(text, file), None)


def read_policy(stream: BinaryIO, file: str = "<stdin>") -> Policy:
    """Load a policy from a stream, as `parse_policy` does from text."""
    return load_document(read_stream(stream, file), None)


def bundled_policies() -> tuple[str, ...]:
    """Return the names of the policies that ship with cachedsl, sorted. docs/policies.md describes them.

    Example:
        >>> from cachedsl import bundled_policies
        >>> "f8b0" in bundled_policies()
        True
    """
    names = (entry.name for entry in files("cachedsl.policies").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def check_file(path: Path, name: str) -> tuple[Finding, ...]:
    """Return every finding of the policy file at `path`; nothing where it holds."""
    return policy_findings(read_document(path, name), real_path(path))


def policy_findings(document: Document, path: Path | None) -> tuple[Finding, ...]:
    """Return every finding of a policy that has been read; nothing where it holds."""
    return _read(document, path).findings


@frozen
class Read:
    """What a document means.

    Attributes:
        policy: the policy; None where that cannot be told.
        findings: everything that is wrong, in file order; lints are left to `cachedsl check`.
        parents: the files that it extends, the nearest first, as far as they could be read.
    """

    policy: Policy | None
    findings: tuple[Finding, ...]
    parents: tuple[Path, ...] = ()
    _parent: _Layer | None = None

    def parent(self) -> Policy | None:
        """Return what it extends; None where it extends nothing."""
        above = self._parent
        if above is None:
            return None
        policy: Policy = CONVERTER.structure(without_nulls(above.tree), Policy)
        return evolve(policy, origin=Origin(above.label, above.roots, above.tree))


Opener = Callable[[Path, str], Document]
"""Reads the file at a path; findings call it by the second argument."""


def read_checked(document: Document, path: Path | None, opened: Opener = read_document) -> Read:
    """Return what a document means and what is wrong with it; `path` is the file's own, None for text.

    Parents are read by `opened`: an editor holds texts that are not saved yet.
    """
    return _read(document, path, opened)


@frozen
class _File:
    """A policy file being read: its text, where it is (None for text), and who extends it."""

    document: Document
    path: Path | None
    children: tuple[_File, ...] = field(default=())
    opened: Opener = read_document

    @property
    def label(self) -> str:
        return self.document.file


@frozen
class _Layer:
    """A file and its parents, merged: the long-form tree with nulls, and what each file holds, the nearest first."""

    tree: Tree
    roots: tuple[Node, ...]
    policy: Policy | None = None
    parent: _Layer | None = None
    label: str = ""


def load_document(document: Document, path: Path | None) -> Policy:
    """Load a policy from a document; `path` is the file's own, None for text.

    Raises:
        PolicyError: it has errors; all findings at once. Warnings alone are for `cachedsl check`.
    """
    read = _read(document, path)
    if read.policy is None or any(finding.severity == "error" for finding in read.findings):
        raise PolicyError(read.findings)
    return read.policy


def _read(document: Document, path: Path | None, opened: Opener = read_document) -> Read:
    findings: list[Finding] = []
    parents: list[Path] = []
    layer = _layer(_File(document, path, opened=opened), findings, parents)
    if layer is None:
        return Read(None, in_file_order(findings), tuple(parents))
    tree = without_nulls(layer.tree)
    name, roots = slug_of(document.file), layer.roots

    def made(policy: Policy | None = None) -> Policy:
        if policy is None:
            policy, unfit = read_part(document, Policy, tree)
            assert policy is not None, f"what two files hold, they hold together: {unfit}"
        return evolve(policy, name=tree.get("name", name), origin=Origin(document.file, roots, tree))

    policy = made(layer.policy)
    idle = [key for key in idle_keys(policy) if policy.place(*key.path).file != document.file]
    for key, inner in (dropped for one in idle for dropped in one.drops):
        tree[key] = {name: value for name, value in tree[key].items() if name != inner}
    if idle:
        policy = made()
    findings += run_checks("meaning", Meaning(policy))
    return Read(policy, in_file_order(findings), tuple(parents), layer.parent)


def _layer(file: _File, findings: list[Finding], parents: list[Path]) -> _Layer | None:
    """Read one file and its parents; what is found is added to `findings`, and None means that there was something."""
    before = len(findings)
    document, root = file.document, file.document.root
    findings += document.findings
    if root is None:
        return None
    written = root.plain()
    written.pop(SCHEMA_KEY, None)
    tree, bad_ratios = with_ratios(written, document, file.path)
    policy, unfit = read_part(document, Policy, tree)
    findings += (*bad_ratios, *unfit)
    parent = _parent(root, file, findings, parents)
    if any(finding.severity == "error" for finding in findings[before:]):
        return None
    tree = long_form(Policy, tree)
    if parent is None:
        return _Layer(tree, (root,), policy, label=file.label)
    below = {key: value for key, value in parent.tree.items() if key not in ("name", "description", "extends")}
    return _Layer(merge(below, tree), (root, *parent.roots), parent=parent, label=file.label)


def _parent(root: Node, file: _File, findings: list[Finding], parents: list[Path]) -> _Layer | None:
    node = root.mapping.get("extends")
    if node is None or not isinstance(node.value, str) or not node.value:
        return None  # it was said already where it is no name
    name = node.value
    found = "deep" if len(file.children) >= MAX_PARENTS else _find_parent(name, file)
    if isinstance(found, str):
        rule, message, hint = WORDS[found]
        findings.append(rule.finding(f"extends: `{printable(name)}` {message}", node.span, hint))
        return None
    chain = (*file.children, file)
    label = _label(found) if bundled_path(name) == found else str(_shown(found, file))
    if found in [link.path for link in chain]:
        names = " → ".join([*(link.label for link in chain), label])
        message = f"extends: a policy cannot extend itself: {names}"
        findings.append(CYCLE.finding(message, node.span, "take one of these `extends` out"))
        return None
    parents.append(found)
    return _layer(_File(file.opened(found, label), found, chain, file.opened), findings, parents)


def _find_parent(name: str, file: _File) -> Path | str:
    """Return the path that `extends: name` means, or the key of what is wrong in `WORDS`."""
    if file.path is not None:
        found = beside(name, file.path)
        if found != "missing":
            return found
    return bundled_path(name) or "missing"


def _shown(path: Path, child: _File) -> Path:
    """Return a parent's path as relative to where its child was named."""
    assert child.path is not None
    return Path(os.path.normpath(Path(child.label).parent / os.path.relpath(path, child.path.parent)))


def bundled_path(name: str) -> Path | None:
    """Return the file of a bundled policy, by its name with or without a suffix; None where there is none."""
    stem = name
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    if stem not in bundled_policies():
        return None
    return Path(str(files("cachedsl.policies") / f"{stem}.yaml")).resolve()


def _label(bundled: Path) -> str:
    return f"<bundled>/{bundled.name}"


__all__ = (
    "as_policy",
    "bundled_policies",
    "check_file",
    "load_document",
    "load_policy",
    "parse_policy",
    "policy_findings",
    "read_checked",
    "read_policy",
)
