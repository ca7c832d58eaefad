"""Lists that are joined hand the same hidden states on."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "lists-apart",
    "fit",
    "`span: joined` on block lists that do not pass their hidden states on",
    why="A chain of block lists is reused as a whole. So its input and its output must have the same shape.",
    bad="span: joined  # on a model whose lists work on different streams",
    good="span: stack",
)


def check(context: Fit) -> Findings:
    for stack in context.shape.stacks:
        if stack.lists and stack.joins == "apart":
            lists = ", ".join(name for name, _ in stack.lists)
            message = (
                f"span: joined, but the block lists of {context.shape.label}.{stack.transformer} ({lists}) do not hand "
                "their hidden states on to each other, so that they cannot be one chain"
            )
            yield RULE.finding(message, context.policy.place("span"), "take span: stack")


CHECKS = (Check(RULE, check),)
