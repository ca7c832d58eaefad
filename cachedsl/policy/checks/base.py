"""What a check gets to see."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from cachedsl.diagnostics import Diagnostic, Span
from cachedsl.policy.merge import Tree
from cachedsl.policy.model import Policy, StackPolicy, overlay


@frozen
class Subject:
    """A policy about to be accepted: the long-form tree as merged, and what it means.

    The tree tells what was written from what is a default.
    """

    tree: Tree
    policy: Policy

    def span(self, *path: str) -> Span:
        return self.policy.span(*path)

    def scopes(self) -> Iterator[tuple[tuple[str, ...], Tree, StackPolicy]]:
        """Yield the policy itself and every `stacks` entry laid over it: where it stands, its tree, its meaning."""
        whole = self.policy.for_stack("", "")
        yield (), self.tree, whole
        for key, override in self.policy.stacks:
            yield ("stacks", key), self.tree["stacks"][key], overlay(whole, override)


Findings = Iterator[Diagnostic]
