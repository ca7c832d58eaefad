"""Comments that ignore findings say which, and are of use; `cachedsl/checking/ignores.py` reads them."""

from __future__ import annotations

from cachedsl.text.finding import Rule

BAD_IGNORE = Rule(
    "bad-ignore",
    "file",
    "a comment that ignores nothing, or does not say what it ignores",
    severity="warning",
    why="A comment without a code would hide everything that is ever found there. A comment with an unknown "
    "code hides nothing.",
    bad="version: 1\nname: fast  # cachedsl: ignore",
    good="version: 1\nname: fast  # cachedsl: ignore[file-name] as in the paper",
    category="suspicious",
)
UNUSED_IGNORE = Rule(
    "unused-ignore",
    "file",
    "a comment ignores a rule that finds nothing there",
    severity="warning",
    why="The reason for the comment is gone. The comment would hide the next finding of that rule.",
    bad="version: 1\nwarmup: 6  # cachedsl: ignore[file-name]",
    good="version: 1\nwarmup: 6",
    category="style",
    fix="Removes the code from the comment, or the whole comment if it has no other code; safe.",
)
RULES = (BAD_IGNORE, UNUSED_IGNORE)
