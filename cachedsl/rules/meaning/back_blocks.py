"""Back blocks that decide for themselves need both their list and their threshold, and must be in the back."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.language.parts import Compute
from cachedsl.rules.base import Check, Findings, Fit, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "back-blocks",
    "meaning",
    "`back_blocks` and `back_threshold` do not fit together, or name blocks outside the back",
    why="`back_blocks` lists the back blocks that always run, and `back_threshold` decides over the others. "
    "One without the other says nothing.",
    bad="compute: {back: 2, back_blocks: [0]}",
    good="compute: {back: 2, back_blocks: [0], back_threshold: 0.1}",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        if {"back", "back_blocks", "back_threshold"} & set(scope.tree.get("compute") or {}):
            for message, hint in wrong_back(scope.meant.compute):
                yield RULE.finding(message, context.span(*scope.path, "compute"), hint)


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


def check_fit(context: Fit) -> Findings:
    """Look at stacks under several entries, which meet only on a model."""
    for stack in context.shape.stacks:
        for message, hint in wrong_back(context.resolved(stack).compute):
            together = f"{message}, on {stack.qualified} with all that is said of it"
            yield RULE.finding(together, context.span(stack, "compute"), hint)


CHECKS = (Check(RULE, check), Check(RULE, check_fit, "fit"))
