"""What a check is, and what it gets to see at each stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from attrs import field, frozen

from cachedsl.language.part import long_form, said
from cachedsl.language.policy import Policy, StackPolicy, is_glob, matches_stack, specificity
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.finding import Finding, Rule, Span, Stage

Findings = Iterator[Finding]
Tree = Mapping[str, Any]


@frozen
class Check:
    """A rule, and what looks for it; another package offers one under the entry point group `cachedsl.rules`.

    Attributes:
        rule: the rule.
        check: yields findings of the rule, and changes nothing.
        stage: when it is called, and with it what it is called with: `Meaning`, `Fit`, `Count`, or `Run`; by default
            the rule's.
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
    """

    policy: Policy
    tree: Tree = field()

    @tree.default
    def _tree(self) -> Tree:
        return written_tree(self.policy)

    def span(self, *path: str) -> Span:
        return self.policy.place(*path)

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


def written_tree(policy: Policy) -> Tree:
    """Return the keys of a policy as they were written, or else those that differ from the defaults."""
    if policy.origin is not None and policy.origin.tree:
        return policy.origin.tree
    return long_form(Policy, said(policy, Policy()))


@frozen(eq=False)
class Fit:
    """A policy on a model, whose stacks are joined where the policy says so."""

    policy: Policy
    shape: ModelShape

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
    """A policy on a model for a step count, None where it is not known."""

    num_steps: int | None = None
