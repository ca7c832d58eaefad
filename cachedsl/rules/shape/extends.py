"""What `extends` names is there, is the policy's own, and does not come back to the policy."""

from __future__ import annotations

from cachedsl.text.finding import Rule

MAX_PARENTS = 8

MISSING = Rule(
    "extends-missing",
    "shape",
    "`extends` names a file or policy that does not exist",
    why="Without its parent, the policy would mean something else.",
    bad="version: 1\nextends: ../no-such-file.yaml",
    good="version: 1\nextends: f8b0",
)
OUTSIDE = Rule(
    "extends-outside",
    "shape",
    "`extends` leaves the policy's own tree",
    why="A policy must mean the same wherever its repository is checked out. A file outside of the repository "
    "may be missing there.",
    bad="version: 1\nextends: /etc/policy.yaml",
    good="version: 1\nextends: ../common/base.yaml",
)
DEEP = Rule(
    "extends-deep",
    "shape",
    "a policy has too long a chain of parents",
    why="With so many parents, nobody can tell any more which value applies.",
    bad="version: 1\nextends: the-ninth.yaml",
    good="version: 1\nextends: base.yaml",
)
CYCLE = Rule(
    "extends-cycle",
    "shape",
    "a policy extends itself, directly or through others",
    why="If policies extend each other in a circle, there is no first one to start from.",
    bad="version: 1\nextends: child.yaml  # which extends this file",
    good="version: 1\nextends: base.yaml",
)
RULES = (MISSING, OUTSIDE, DEEP, CYCLE)
WORDS = {
    "missing": (
        MISSING,
        "is neither a file beside this one nor a bundled policy",
        "bundled policies go by name, files by a path relative to this one",
    ),
    "outside": (
        OUTSIDE,
        "leaves the policy's own tree",
        "the tree is the nearest folder above with `.git` or `pyproject.toml`, else the file's own folder",
    ),
    "deep": (
        DEEP,
        f"would be parent number {MAX_PARENTS + 1}",
        f"a policy has at most {MAX_PARENTS} parents above one another",
    ),
}
