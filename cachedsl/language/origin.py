"""Where a policy's keys were written, for findings that come after loading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from cachedsl.text.finding import Span
from cachedsl.text.tree import Node


@frozen(eq=False)
class Origin:
    """Where a policy's keys were written; findings that come after loading point there.

    Attributes:
        file: what the user calls the file.
        roots: what the file holds, and what its parents do, the nearest first.
        tree: the policy's keys in long form, merged with its parents'; it tells what was written from what is a
            default.
    """

    file: str
    roots: tuple[Node, ...] = ()
    tree: Mapping[str, Any] = field(factory=dict)

    def span(self, *path: str) -> Span:
        """Return the place of `path`, else of the nearest enclosing key, else of the file's first key."""
        for length in range(len(path), 0, -1):
            for root in self.roots:
                node: Node | None = root
                for step in path[:length]:
                    node = None if node is None else node.mapping.get(step)
                if node is not None:
                    return node.span
        if not self.roots:
            return Span(self.file)
        head = self.roots[0].span
        return Span(self.file, head.line, head.column, start=head.start)
