"""Read `memory` of an entry of the `plans` table: a budget, and the shapes by which features are counted.

memory = {budget = "4GiB", hidden = [1, 4096, 3072], encoder = [1, 512, 3072]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cachedsl.language.refusals import nearest
from cachedsl.rules.budget import SIZES, STREAMS, UNITS, Budget, in_bytes
from cachedsl.text.scalars import printable, shortened

KEYS = ("budget", *STREAMS, "dtype", "branches")
EXAMPLE = 'memory = {budget = "4GiB", hidden = [1, 4096, 3072]}'


def read_budget(value: Mapping[str, Any]) -> Budget:
    """Return the budget of a value of which `wrong_budget` has nothing to say."""
    shapes = {name: tuple(value[name]) for name in STREAMS if name in value}
    return Budget(value["budget"], shapes, value.get("dtype", "bfloat16"), value.get("branches"))


def wrong_budget(value: Any) -> Iterator[tuple[str, str | None]]:
    """Yield what is wrong with a value of `memory`, each with the way out."""
    if not isinstance(value, Mapping):
        yield f"memory: expected a table with {', '.join(KEYS)}, got {_said(value)}", f"such as {EXAMPLE}"
        return
    for key in value:
        if key not in KEYS:
            near = nearest(key, KEYS)
            guess = f"did you mean `{near}`?" if near else f"one of {', '.join(KEYS)}"
            yield f"memory: unknown key `{printable(key)}`", guess
    for key in ("budget", "hidden"):
        if key not in value:
            yield f"memory: `{key}` is missing", f"such as {EXAMPLE}"
    budget = value.get("budget", "1GiB")
    if not isinstance(budget, str) or not in_bytes(budget):
        yield f"memory.budget: expected a size with a unit ({', '.join(UNITS)}), got {_said(budget)}", 'such as "4GiB"'
    for name in STREAMS:
        shape = value.get(name, [1, 1, 1])
        if not isinstance(shape, list) or not 3 <= len(shape) <= 6 or not all(map(_is_count, shape)):
            hint = "batch, channels and the rest, or of tokens as the others" if name == "latent" else None
            yield (
                f"memory.{name}: expected a shape such as [1, 4096, 3072], got {_said(shape)}",
                hint or "batch, tokens and channels",
            )
    dtype, branches = value.get("dtype", "bfloat16"), value.get("branches", 1)
    if not isinstance(dtype, str) or dtype not in SIZES:
        yield f"memory.dtype: expected {', '.join(SIZES)}, got {_said(dtype)}", None
    if not _is_count(branches):
        yield f"memory.branches: expected a number of at least 1, got {_said(branches)}", None


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _said(value: Any) -> str:
    return shortened(repr(value), 60)
