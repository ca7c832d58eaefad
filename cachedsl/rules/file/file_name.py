"""A policy is called what its file is called."""

from __future__ import annotations

from cachedsl.language.policy import slug_of, stem_of
from cachedsl.rules.base import Check, Findings, PolicyFile, offer
from cachedsl.text.entries import replace_value
from cachedsl.text.finding import Rule
from cachedsl.text.scalars import shortened, written

RULE = Rule(
    "file-name",
    "file",
    "a policy's `name` is not that of its file",
    severity="warning",
    why="Reports show the name, while `extends` and repositories show the file. If the two differ, people look "
    "for the policy in the wrong place.",
    bad="# fast.yaml\nversion: 1\nname: slow",
    good="# fast.yaml\nversion: 1\nname: fast",
    category="style",
    fix="Writes the file's name as `name`; not safe, because you may want to rename the file instead.",
)


def check(context: PolicyFile) -> Findings:
    node = context.root.mapping.get("name")
    if node is None or context.path is None or not isinstance(node.value, str):
        return
    wanted, document = slug_of(context.path), context.document
    if node.value == wanted:
        return
    name = shortened(node.value, 60)
    title = f"Call the policy `{wanted}`"
    fix = offer(document, title, lambda: replace_value(document, node, written(wanted)), safe=False)
    file = shortened(context.path.name, 60)
    suffix = context.path.name[len(stem_of(context.path)) :]
    hint = f"call both the same: `name: {wanted}`, or the file `{name}{suffix}`"
    if wanted == slug_of("") != stem_of(context.path):
        # No character of the file's name may be in a policy's; every such file would be called the same.
        fix, hint = None, f"call the file `{name}{suffix}`"
    yield RULE.finding(f"name: the policy is called `{name}`, its file `{file}`", node.span, hint, fix=fix)


CHECKS = (Check(RULE, check),)
