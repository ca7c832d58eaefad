"""`prune.keep` names a block that no list has."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "keep-outside",
    "fit",
    "`prune.keep` names a block that no list has",
    severity="warning",
    why="The entry keeps no block. Usually the index was counted over all lists of the model, while `keep` "
    "counts within each list.",
    bad="prune: {keep: [45]}  # on FLUX.1-dev: 19 and 38 blocks",
    good="prune: {keep: [26]}",
    category="correctness",
)


def check(context: Fit) -> Findings:
    for stack in context.shape.stacks:
        prune, setter = context.resolved(stack).prune, context.set_by(stack, "prune")
        same = [other for other in context.shape.stacks if context.set_by(other, "prune") == setter]
        most = max(other.blocks for other in same)
        beyond = [] if prune is None else sorted(block for block in prune.keep if block >= most)
        if beyond:
            message = f"prune.keep: {beyond[0]} is no block of {context.shape.label}, whose lists have up to {most}"
            hint = f"indices count from 0 within each list, so {most - 1} is the last"
            yield RULE.finding(message, context.span(stack, "prune", "keep"), hint)


CHECKS = (Check(RULE, check),)
