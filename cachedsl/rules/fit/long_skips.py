"""Blocks that always run read nothing that a reused middle returns by a long skip.

The last block reads what the first one returns. In one list that is a matter of its back blocks; where the skips go
from one list to another, also of that one's front blocks.
"""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "long-skips",
    "fit",
    "blocks that always run would read the output of reused blocks",
    why="The model's last blocks read what its first blocks return, as the skips of a U-Net do. A reused block "
    "returns nothing that they could use.",
    bad="compute: F1B4  # on a model with long skips",
    good="compute: F4B4",
)


def check(context: Fit) -> Findings:
    skipping = {s: context.resolved(s) for s in context.shape.stacks if s.long_skips}
    for stack, resolved in skipping.items():
        computes = [other.compute for s, other in skipping.items() if s.transformer == stack.transformer]
        front, back = min(c.front for c in computes), max(c.back for c in computes)
        if resolved.prune is not None or (back <= front and (len(computes) == 1 or front <= back + 1)):
            continue
        message = (
            f"compute: F{front}B{back}, but {stack.qualified} of {context.shape.label} has long skips, so that blocks "
            "which always run would read what reused ones return"
        )
        hint = "let at most as many back blocks run as front blocks"
        if len(computes) > 1:
            hint += ", and at most one front block more than back blocks, or take span: joined"
        yield RULE.finding(message, context.span(stack, "compute"), hint)


CHECKS = (Check(RULE, check),)
