"""Step masks by cache-dit 1.5.3's rules, which differ from this language's away from the counts of `DESIGNED`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from cachedsl.language.presets import DESIGNED, RUNS_28

MOST_STEPS = 10_000


def steps_mask(preset: str, total_steps: int) -> str:
    """Return the mask that cache-dit's `steps_mask(total_steps=..., mask_policy=preset)` gives, 1 = compute.

    Raises:
        ValueError: there is no such preset, or none for that count.
    """
    if preset not in RUNS_28:
        raise ValueError(f"{preset!r} is no preset; there are {', '.join(RUNS_28)}")
    if total_steps in DESIGNED:
        return DESIGNED[total_steps][preset]
    if total_steps > MOST_STEPS:
        raise ValueError(f"a preset is written out for at most {MOST_STEPS} steps, not for {total_steps}")
    if total_steps < 8:
        raise ValueError(f"below 8 steps there are presets for 4 and 6 steps only, not for {total_steps}")
    compute, cache = (list(runs) for runs in RUNS_28[preset])
    for runs, index, by in _growth(compute, cache, total_steps):
        if sum(compute) + sum(cache) >= total_steps:
            break
        runs[index] += by
    _cut(compute, cache, total_steps)
    return bins_mask(compute, cache, total_steps)[:-1] + "1"


def bins_mask(compute: Sequence[int], cache: Sequence[int], total_steps: int | None = None) -> str:
    """Write runs of computed and reused steps in turn, cut at `total_steps`.

    Raises:
        ValueError: they are fewer than `total_steps`, or more than any run has.
    """
    length = sum(compute) + sum(cache)
    if length > MOST_STEPS:
        raise ValueError(f"the bins cover {length} steps; at most {MOST_STEPS} are read")
    if total_steps is not None and length < total_steps:
        raise ValueError(f"the bins cover {length} steps, and the run has {total_steps}; lengthen them")
    pairs = zip_longest(compute, cache, fillvalue=0)
    return "".join(chain.from_iterable("1" * on + "0" * off for on, off in pairs))[:total_steps]


def _growth(compute: list[int], cache: list[int], total_steps: int) -> Iterator[tuple[list[int], int, int]]:
    """Yield, round after round, which run grows by how much: half its share of the total, at least 1.

    The pairs of a computed and a reused run grow in turn, and at the end of a round the last computed run by one.
    """
    first = compute.copy(), cache.copy()
    while True:
        for index in range(min(len(compute), len(cache))):
            for runs, lengths in zip((compute, cache), first, strict=True):
                yield runs, index, max(int(lengths[index] * (total_steps / 28 * 0.5)), 1)
        yield compute, -1, 1


def _cut(compute: list[int], cache: list[int], total_steps: int) -> None:
    """Shorten the last reused and the last computed run in turn, one step each, until the total is reached."""
    turn = 0
    while sum(compute) + sum(cache) > total_steps:
        runs = (cache, compute)[turn % 2]
        turn += 1
        if runs:
            runs[-1] -= 1
            if not runs[-1]:
                runs.pop()
