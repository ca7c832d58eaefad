"""What is named on the command line or in `load_policy` is there."""

from __future__ import annotations

from cachedsl.text.finding import Rule

NOT_FOUND = Rule(
    "not-found",
    "shape",
    "nothing has that name: no file, no bundled policy, no notation",
    why="A policy is looked for as a path, then by bundled name, then as notation.",
    bad="cachedsl explain no-such-policy",
    good="cachedsl explain f8b0",
)
RULES = (NOT_FOUND,)
