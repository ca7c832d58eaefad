"""`prune.keep` lists blocks that run anyway."""

from __future__ import annotations

from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "keep-covered",
    "meaning",
    "`prune.keep` lists blocks that run anyway",
    severity="warning",
    why="Front blocks always run. A reader who finds them under `keep` thinks that the front is smaller than it is.",
    bad="compute: F8B0\nprune: {keep: [0, 20]}",
    good="compute: F8B0\nprune: {keep: [20]}",
    category="style",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        prune, front = scope.meant.prune, scope.meant.compute.front
        if prune is None or said(scope.tree, "prune", "keep") is None:
            continue
        covered = sorted(block for block in prune.keep if block < front)
        if covered:
            listed = ", ".join(map(str, covered[:5])) + (", …" if len(covered) > 5 else "")
            message = f"prune.keep: {listed} always run as front blocks ({front} do)"
            yield RULE.finding(message, context.span(*scope.path, "prune", "keep"), "list only blocks behind the front")


CHECKS = (Check(RULE, check),)
