"""What a check gets to see."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from attrs import frozen

from cachedsl.diagnostics import Diagnostic, Span
from cachedsl.policy.merge import Tree
from cachedsl.policy.model import Policy, specificity
from cachedsl.policy.overrides import overlay
from cachedsl.policy.parts import StackPolicy


@frozen
class Subject:
    """A policy about to be accepted: the long-form tree as merged, and what it means.

    The tree tells what was written from what is a default.
    """

    tree: Tree
    policy: Policy

    def span(self, *path: str) -> Span:
        return self.policy.place(*path)

    def scopes(self) -> Iterator[tuple[tuple[str, ...], Tree, StackPolicy]]:
        """Yield the policy itself and every `stacks` entry: where it stands, its tree, its meaning.

        An entry is laid over the policy and over the globs that hold wherever it does.
        """
        whole = self.policy.for_stack("", "")
        yield (), self.tree, whole
        for key, override in self.policy.stacks:
            meant = whole
            for other, under in sorted(self.policy.stacks, key=lambda entry: specificity(entry[0])):
                if other != key and fnmatchcase(key, other):  # wherever `key` holds, `other` does
                    meant = overlay(meant, under)
            yield ("stacks", key), self.tree["stacks"][key], overlay(meant, override)


Findings = Iterator[Diagnostic]
