"""Back blocks that decide for themselves need both their list and their threshold, and must be in the back."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject
from cachedsl.policy.parts import Compute


def check(subject: Subject) -> Findings:
    for path, tree, meant in subject.scopes():
        if {"back", "back_blocks", "back_threshold"} & set(tree.get("compute") or {}):
            for message, hint in wrong_back(meant.compute):
                yield Diagnostic("back-blocks", message, subject.span(*path, "compute"), hint)


def wrong_back(compute: Compute) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the back blocks that decide for themselves, and the way out."""
    if (compute.back_blocks is None) != (compute.back_threshold is None):
        one, other = "back_blocks", "back_threshold"
        if compute.back_blocks is None:
            one, other = other, one
        hint = "back_blocks lists the back blocks that always run, back_threshold decides over the others"
        yield f"compute: `{one}` has no effect without `{other}`", hint
    beyond = [index for index in compute.back_blocks or () if index >= compute.back]
    if beyond:
        message = f"compute.back_blocks: {beyond[0]} is not in the back, which has {compute.back} blocks"
        yield message, "indices count from 0 within the back"
