"""Two policies of a folder have one name."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings, Folder, PolicyFile
from cachedsl.text.finding import Related, Rule

RULE = Rule(
    "same-name",
    "folder",
    "two policies of a folder have the same name",
    severity="warning",
    why="Reports, traces and metrics show the name. If two policies share one name, nobody can tell whose "
    "numbers they are.",
    bad="# a.yaml and b.yaml\nversion: 1\nname: fast",
    good="# a.yaml\nversion: 1\nname: a\n# b.yaml\nversion: 1\nname: b",
    category="suspicious",
)


def check(context: Folder) -> Findings:
    first: dict[str, PolicyFile] = {}
    for file in context.files:
        assert file.policy is not None, "a folder has the policies that hold"
        other = first.setdefault(file.policy.name, file)
        if other is file or other.path is None:
            continue
        related = [Related("the other policy", other.document.span(other.root.span.start))]
        node = file.root.mapping.get("name")
        span = file.document.span(file.root.span.start) if node is None else node.span
        message = f"name: `{other.path.name}` is called `{file.policy.name}` too"
        yield RULE.finding(message, span, "give each a name of its own", related=related)


CHECKS = (Check(RULE, check),)
