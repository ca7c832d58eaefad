"""An entry of `stacks` that changes nothing."""

from __future__ import annotations

from cachedsl.language.policy import is_glob
from cachedsl.rules.asking import without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "stack-without-change",
    "meaning",
    "an entry of `stacks` that changes nothing",
    severity="warning",
    why="The list would be treated the same without the entry. Usually the policy was changed to the same "
    "value later. The entry now keeps the list from following the next change.",
    bad="warmup: 4\nstacks: {single_*: {warmup: 4}}",
    good="warmup: 4\nstacks: {single_*: {warmup: 2}}",
    category="suspicious",
    fix="Removes the entry; safe, because the plan stays the same.",
)


def check(context: Meaning) -> Findings:
    policy = context.policy
    names = [key for key, _ in policy.stacks]
    if len(names) > 1 and any(is_glob(key) or "." in key for key in names):
        return  # several may meet on one list
    for key in names:
        if policy.under((key,)) == policy.under(()):
            path = ("stacks", key) if len(names) > 1 else ("stacks",)
            fix = without(context.document, path, safe=True, title=f"Take the entry of `{key}` out")
            message = f"stacks: {key!r} says nothing that differs from the policy"
            yield RULE.finding(message, context.span("stacks", key), "take it out, or make the change", fix=fix)


CHECKS = (Check(RULE, check),)
