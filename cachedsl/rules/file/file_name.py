"""A policy is called what its file is called."""

from __future__ import annotations

from cachedsl.language.policy import slug_of
from cachedsl.rules.base import Check, Findings, PolicyFile, offer
from cachedsl.text.entries import replace_value
from cachedsl.text.finding import Rule
from cachedsl.text.scalars import shortened, written

RULE = Rule(
    "file-name",
    "file",
    "a policy's `name` is not that of its file",
    severity="warning",
    why="Reports show the name, repositories and `extends` the file. Where the two differ, a reader of the one looks "
    "in vain for the other.",
    bad="# fast.yaml\nversion: 1\nname: slow",
    good="# fast.yaml\nversion: 1\nname: fast",
    category="style",
    fix="Writes the file's name as `name`; not safe, for the file may be what should be renamed.",
)


def check(context: PolicyFile) -> Findings:
    node = context.root.mapping.get("name")
    if node is None or context.path is None or not isinstance(node.value, str):
        return
    wanted, document = slug_of(context.path.stem), context.document
    if node.value == wanted:
        return
    name = shortened(node.value, 60)
    title = f"Call the policy `{wanted}`"
    fix = offer(document, title, lambda: replace_value(document, node, written(wanted)), safe=False)
    hint = f"call both the same: `name: {wanted}`, or the file `{name}{context.path.suffix}`"
    if wanted == slug_of("") != context.path.stem:
        # No character of the file's name may be in a policy's; every such file would be called the same.
        fix, hint = None, f"call the file `{name}{context.path.suffix}`"
    file = shortened(context.path.name, 60)
    yield RULE.finding(f"name: the policy is called `{name}`, its file `{file}`", node.span, hint, fix=fix)


CHECKS = (Check(RULE, check),)
