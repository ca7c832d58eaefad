"""Every key of `stacks` matches a block list of the model."""

from __future__ import annotations

from cachedsl.language.policy import matches_stack
from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "unknown-stack",
    "fit",
    "a key of `stacks` matches no block list of the model",
    why="The entry would apply to nothing.",
    bad="stacks: {no_such_blocks: {warmup: 2}}",
    good="stacks: {single_transformer_blocks: {warmup: 2}}",
)


def check(context: Fit) -> Findings:
    stacks = context.shape.stacks
    listed = ", ".join(stack.qualified for stack in stacks)
    for key, _ in context.policy.stacks:
        if not any(matches_stack(key, stack.transformer, stack.name) for stack in stacks):
            message = f"stacks: {key!r} matches no stack of {context.shape.label}"
            yield RULE.finding(message, context.policy.place("stacks", key), f"its stacks are {listed}")


CHECKS = (Check(RULE, check),)
