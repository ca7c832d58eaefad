"""What a check is, and what it gets to see at each stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from attrs import field, frozen

from cachedsl.language.part import long_form, said
from cachedsl.language.policy import Policy, StackPolicy, is_glob, matches_stack, specificity
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.rules.budget import Budget
from cachedsl.text.entries import CannotEdit
from cachedsl.text.finding import Edit, Finding, Fix, Rule, Span, Stage
from cachedsl.text.tree import Document, Node

Findings = Iterator[Finding]
Tree = Mapping[str, Any]


@frozen
class Check:
    """A rule, and what looks for it; another package offers one under the entry point group `cachedsl.rules`.

    Attributes:
        rule: the rule.
        check: yields findings of the rule, and changes nothing.
        stage: when it is called, and with it what it is called with: `Meaning`, `PolicyFile` (`file`), `Fit`, `Count`,
            `Folder`, or `RunFacts`; by default the rule's.

    A check whose rule is a warning is a *lint*: `cachedsl check` calls it, on policies without errors. Loading and
    compiling a policy calls the others alone.
    """

    rule: Rule
    check: Callable[[Any], Findings]
    stage: Stage = field()

    @stage.default
    def _stage(self) -> Stage:
        return self.rule.stage

    @property
    def name(self) -> str:
        return self.rule.code

    @property
    def is_lint(self) -> bool:
        """Tell whether only `cachedsl check` calls it."""
        return self.rule.severity == "warning" and self.stage != "run"


def offer(document: Document, title: str, edits: Callable[[], Iterable[Edit]], *, safe: bool) -> Fix | None:
    """Return a fix, or None where the file is written in a way that such an edit would break, or would lose a comment.

    Args:
        document: the file.
        title: what it does, as an imperative without a full stop.
        edits: makes the edits, with `insert_entry`, `remove_entry`, `rename_key` or `replace_value`.
        safe: the compiled plan stays as it is, and nothing is lost that the author may have meant.
    """
    try:
        made = tuple(edits())
    except CannotEdit:
        return None
    for comment in document.comments:
        if any(edit.start <= comment.span.start < edit.end and comment.text not in edit.text for edit in made):
            return None
    return Fix(title, made, safe)


@frozen
class Scope:
    """The policy itself, or one entry of its `stacks`: where it stands, what was written, what it comes to."""

    path: tuple[str, ...]
    tree: Tree
    meant: StackPolicy


@frozen(eq=False, slots=False)
class Meaning:
    """A policy by itself.

    Attributes:
        policy: the policy.
        tree: its keys in long form as they were written, merged with its parents'; of a policy that was made in
            Python, what differs from the defaults.
        document: the policy's own file; None where the policy is no file, and while it is loaded.
        parent: what it extends; None where it extends nothing, and while it is loaded.
        counts: the step counts that it is known to run with.
    """

    policy: Policy
    tree: Tree = field()
    document: Document | None = field(default=None, kw_only=True)
    parent: Policy | None = field(default=None, kw_only=True)
    counts: tuple[int, ...] = field(default=(), kw_only=True)

    @tree.default
    def _tree(self) -> Tree:
        return written_tree(self.policy)

    def span(self, *path: str) -> Span:
        return self.policy.place(*path)

    def own(self, *path: str) -> Node | None:
        """Return what the policy's own file says at `path`, None where it says nothing or a parent says it."""
        return None if self.document is None else node_at(self.document.root, *path)

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """The policy itself and every entry of `stacks`, laid over the globs that hold wherever it does."""
        whole = self.policy.under(())
        found = [Scope((), self.tree, whole)]
        globs = [key for key, _ in self.policy.stacks if is_glob(key)]
        entries = self.tree.get("stacks") or {}
        for key, override in self.policy.stacks:
            under = tuple(glob for glob in globs if glob != key and fnmatchcase(key, glob))
            found.append(Scope(("stacks", key), entries.get(key) or override, self.policy.under((*under, key), key)))
        return tuple(found)


def node_at(root: Node | None, *path: str) -> Node | None:
    """Return the node at `path` below `root`, None where there is none; a shorthand has nothing below it."""
    for step in path:
        root = None if root is None else root.mapping.get(step)
    return root


def written_tree(policy: Policy) -> Tree:
    """Return the keys of a policy as they were written, or else those that differ from the defaults."""
    if policy.origin is not None and policy.origin.tree:
        return policy.origin.tree
    return long_form(Policy, said(policy, Policy()))


@frozen
class ModelFacts:
    """What an adapter knows of a model besides its shape.

    Attributes:
        family: the family's name, such as `flux`.
        name: the published model, or the transformer class.
        cfg: what its pipelines do with guidance on, `fused` or `separate`; nothing where its classes differ.
        named: what the user called it, which may be the name of its family, or of a pipeline.
        streams: what its blocks return, `hidden` and, where they do, `encoder`.
    """

    family: str
    name: str
    cfg: str
    named: str = ""
    streams: tuple[str, ...] = ("hidden",)


@frozen(eq=False)
class Fit:
    """A policy on a model, whose stacks are joined where the policy says so.

    Attributes:
        policy: the policy.
        shape: the model's block lists.
        model: what else is known of the model; None where the policy is compiled for a shape alone.
        document: the policy's own file; None where the policy is no file, and while it is compiled.
        counts: the step counts that it is known to run with there.
    """

    policy: Policy
    shape: ModelShape
    model: ModelFacts | None = field(default=None, kw_only=True)
    document: Document | None = field(default=None, kw_only=True)
    counts: tuple[int, ...] = field(default=(), kw_only=True)

    def resolved(self, stack: StackShape) -> StackPolicy:
        """Return what governs `stack`."""
        return self.policy.for_stack(stack.transformer, stack.name)

    def entries_of(self, stack: StackShape) -> tuple[str, ...]:
        """Return the keys of `stacks` that match `stack`, the most specific last."""
        keys = [key for key, _ in self.policy.stacks if matches_stack(key, stack.transformer, stack.name)]
        return tuple(sorted(keys, key=specificity))

    def set_by(self, stack: StackShape, name: str) -> tuple[str, ...]:
        """Return the path of the `stacks` entry that sets key `name` for this stack, or nothing."""
        overrides = dict(self.policy.stacks)
        keys = [key for key in self.entries_of(stack) if name in overrides[key]]
        return ("stacks", keys[-1]) if keys else ()

    def span(self, stack: StackShape, *path: str) -> Span:
        """Return where the key at `path` was written for this stack."""
        return self.policy.place(*self.set_by(stack, path[0]), *path)


@frozen(eq=False)
class Count(Fit):
    """A policy on a model for a step count, None where it is not known.

    `plan` is what it compiles to; None while it is compiled. `budget` is how much memory its features may take; None
    where nobody says it.
    """

    num_steps: int | None = None
    plan: Plan | None = field(default=None, kw_only=True)
    budget: Budget | None = field(default=None, kw_only=True)


@frozen(eq=False)
class PolicyFile:
    """A file that holds a policy, as text.

    Attributes:
        document: its text, its comments and its tree; never broken.
        policy: what it means; None where it has errors.
        path: where it is; None for standard input.
        parents: the files that it extends, the nearest first.
    """

    document: Document
    policy: Policy | None
    path: Path | None
    parents: tuple[Path, ...] = ()

    @property
    def root(self) -> Node:
        """The mapping of its keys."""
        assert self.document.root is not None, "a file without a tree is not looked at"
        return self.document.root


@frozen(eq=False)
class Folder:
    """The policies without errors of one folder, those that were checked together.

    Attributes:
        path: the folder.
        files: its policies, in the order of their names.
        meaning_of: returns a value that is equal for two policies that compile to the same plan, whatever they are
            called; None where a policy does not compile on the models at hand.
    """

    path: Path
    files: tuple[PolicyFile, ...]
    meaning_of: Callable[[Policy], object | None]
