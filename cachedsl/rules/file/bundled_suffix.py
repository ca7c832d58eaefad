"""`extends` names a bundled policy as if it were a file."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, PolicyFile, offer
from cachedsl.text.entries import replace_value
from cachedsl.text.finding import Rule
from cachedsl.text.paths import real_path
from cachedsl.text.scalars import written

RULE = Rule(
    "bundled-suffix",
    "file",
    "`extends` names a bundled policy as if it were a file",
    severity="warning",
    why="A name with `.yaml` means a file beside the policy. Only if there is no such file, it means the "
    "bundled policy. As soon as somebody adds the file, the policy has another parent.",
    bad="extends: f8b0.yaml  # and no such file",
    good="extends: f8b0",
    category="style",
    fix="Removes the suffix; safe, because the parent stays the same.",
)


def check(context: PolicyFile) -> Findings:
    node, document = context.root.mapping.get("extends"), context.document
    name = "" if node is None else node.value
    if node is None or not isinstance(name, str) or not name.endswith(SUFFIXES) or not context.parents:
        return
    beside = context.path is not None and context.parents[0] == real_path(context.path.parent / name)
    if beside or "/" in name:
        return
    stem = name.rpartition(".")[0]
    fix = offer(document, f"Write `{stem}`", lambda: replace_value(document, node, written(stem)), safe=True)
    message = f"extends: there is no file `{name}`, so the bundled policy of that name is taken"
    yield RULE.finding(message, node.span, f"`extends: {stem}` for the bundled one", fix=fix)


SUFFIXES = (".yaml", ".yml")


CHECKS = (Check(RULE, check),)
