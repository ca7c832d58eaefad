"""An entry of `stacks` that others override everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "shadowed-stack",
    "fit",
    "an entry of `stacks` that others override everywhere",
    severity="warning",
    why="If several keys match a list, an exact name wins over a glob, and a longer glob over a shorter one. "
    "This entry never wins.",
    bad='stacks:\n  "*": {warmup: 2}\n  "*_blocks": {warmup: 4}',
    good='stacks:\n  "*_blocks": {warmup: 4}',
    category="suspicious",
)


def check(context: Fit) -> Findings:
    overrides = dict(context.policy.stacks)
    for key, override in overrides.items():
        over = []
        for stack in context.shape.stacks:
            entries = context.entries_of(stack)
            if key in entries:
                over.append([overrides[later] for later in entries[entries.index(key) + 1 :]])
        if over and all(_covers(laters, override) for laters in over):
            message = (
                f"stacks: all that {key!r} says is overridden, on every list of {context.shape.label} that it matches"
            )
            hint = "take it out, or give it lists of its own"
            yield RULE.finding(message, context.policy.place("stacks", key), hint)


def _covers(laters: Iterable[Mapping[str, Any]], override: Mapping[str, Any]) -> bool:
    """Tell whether each value of an entry is set again by one that is laid over it."""
    written = set().union(*map(_leaves, laters))
    return all(any(leaf[:length] in written for length in range(1, len(leaf) + 1)) for leaf in _leaves(override))


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for key, value in tree.items():
        below = _leaves(value, (*path, key)) if isinstance(value, Mapping) else set()
        found |= below or {(*path, key)}
    return found


CHECKS = (Check(RULE, check),)
