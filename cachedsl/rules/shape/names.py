"""What is named on the command line or in `load_policy` is there."""

from __future__ import annotations

from cachedsl.text.finding import Rule

NOT_FOUND = Rule(
    "not-found",
    "shape",
    "no file, bundled policy or notation has that name",
    why="cachedsl looks for a policy first as a path, then as the name of a bundled policy, then as compact notation.",
    bad="cachedsl explain no-such-policy",
    good="cachedsl explain f8b0",
)
RULES = (NOT_FOUND,)
