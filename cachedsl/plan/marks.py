"""What the type of a field in JSON says beyond the type itself: `Annotated[int, Bounds(0, 9)]`.

Whoever reads the JSON checks it, with a message of its own; the JSON Schema is made of it
(`cachedsl.language.records`).
"""

from __future__ import annotations

from typing import Annotated

from attrs import frozen

MOST_STEPS = 1_000_000
MOST_BLOCKS = 10_000
"""Of one stack, and units of all stacks of a plan that is read."""


@frozen
class Bounds:
    """The least and the most that a whole number may be; None is no bound."""

    least: int
    most: int | None = None


@frozen
class Matching:
    """The regular expression (ECMA 262) that the whole of a text matches."""

    pattern: str


@frozen
class FirstThenPatches:
    """Of a list: its first item is a whole `cls`, each other one a JSON merge patch (RFC 7386) of the first."""

    cls: type


Index = Annotated[int, Bounds(0)]
BlockCount = Annotated[int, Bounds(0, MOST_BLOCKS)]
StepCount = Annotated[int, Bounds(1, MOST_STEPS)]
Bits = Annotated[str, Matching("^[01]*$")]
