"""`version` is not the first key."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, PolicyFile
from cachedsl.text.finding import Rule

RULE = Rule(
    "version-first",
    "file",
    "`version` is not the first key",
    severity="warning",
    why="The version says how everything after it is read. People and tools look for it at the top.",
    bad="warmup: 4\nversion: 1",
    good="version: 1\nwarmup: 4",
    category="style",
)


BEFORE = ("version", "$schema")


def check(context: PolicyFile) -> Findings:
    first = next(iter(context.root.keys), "version")
    if first not in BEFORE and "version" in context.root.keys:
        message = f"version: it stands behind `{first}`"
        yield RULE.finding(message, context.root.keys["version"], "make it the first key")


CHECKS = (Check(RULE, check),)
