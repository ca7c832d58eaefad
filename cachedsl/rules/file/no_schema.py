"""A policy without the line that tells editors its schema."""

from __future__ import annotations

from cachedsl.language.keys import POLICY_ID
from cachedsl.rules.base import Check, Findings, PolicyFile, offer
from cachedsl.text.finding import Edit, Rule
from cachedsl.text.places import BOM

RULE = Rule(
    "no-schema",
    "file",
    "a policy without the line that names its schema for editors",
    severity="warning",
    why="With this line, an editor completes keys, explains them and marks mistakes, in every clone of the "
    "repository and without further settings.",
    bad="version: 1",
    good="# yaml-language-server: $schema=https://cachedsl.dev/schemas/policy.schema.json\nversion: 1",
    category="style",
    opt_in=True,
    fix="Adds the line at the top of the file; safe, because it is a comment.",
)


def check(context: PolicyFile) -> Findings:
    document = context.document
    if context.root.bracket is not None or "$schema" in context.root.mapping:
        return  # JSON says it by a key
    if any("$schema=" in comment.text for comment in document.comments):
        return
    at = len(BOM) if document.text.startswith(BOM) else 0
    line_break = "\r\n" if "\r\n" in document.text else "\n"
    edit = Edit(at, at, f"# yaml-language-server: $schema={POLICY_ID}{line_break}")
    fix = offer(document, "Add the line", lambda: (edit,), safe=True)
    message = "no line tells editors the schema"
    hint = f"begin the file with `# yaml-language-server: $schema={POLICY_ID}`"
    yield RULE.finding(message, document.span(context.root.span.start), hint, fix=fix)


CHECKS = (Check(RULE, check),)
