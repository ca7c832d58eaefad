"""No two policies of a folder say the same."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Folder, PolicyFile
from cachedsl.text.finding import Related, Rule

RULE = Rule(
    "same-plan",
    "folder",
    "two policies of a folder compile to the same plan",
    severity="warning",
    why="Somebody who compares the two measures one policy twice. Usually one of them is a copy, and the "
    "change that was the reason for the copy was never made.",
    bad="# a.yaml and b.yaml\nversion: 1\nwarmup: 4",
    good="# a.yaml\nversion: 1\nwarmup: 4\n# b.yaml\nversion: 1\nwarmup: 6",
    category="suspicious",
)


def check(context: Folder) -> Findings:
    first: dict[object, PolicyFile] = {}
    for file in context.files:
        assert file.policy is not None, "a folder has the policies that hold"
        meaning = context.meaning_of(file.policy)
        other = None if meaning is None else first.setdefault(meaning, file)
        if other is None or other is file or file.path is None or other.path is None:
            continue
        span = file.document.span(file.root.span.start)
        related = [Related("the other policy", other.document.span(other.root.span.start))]
        message = f"the policy compiles to the same plan as `{other.path.name}`"
        yield RULE.finding(
            message, span, "keep one of the two, or make the change that sets them apart", related=related
        )


CHECKS = (Check(RULE, check),)
