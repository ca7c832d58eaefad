"""Step masks, resolved for a run's step count: strings of 0 and 1, 1 = compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, islice, pairwise, zip_longest

from cachedsl.language.masks import AtMask, BitMask, BudgetMask, EveryMask, Mask, PresetMask, RunsMask
from cachedsl.language.presets import DESIGNED, RUNS_28


class MaskMismatch(ValueError):
    """The mask does not fit the step count; the message says both numbers."""


def resolve_mask(mask: Mask, num_steps: int) -> str:
    """Write `mask` out for `num_steps` steps.

    Runs that end early are completed with computed steps, longer ones are cut.

    Raises:
        MaskMismatch: a literal mask has another length, or `at` names a step that the run does not have.
    """
    if isinstance(mask, BitMask):
        if len(mask.bits) != num_steps:
            raise MaskMismatch(f"the mask has {len(mask.bits)} steps, but the run has {num_steps}")
        return mask.bits
    if isinstance(mask, AtMask):
        beyond = [step for step in mask.at if step >= num_steps]
        if beyond:
            raise MaskMismatch(
                f"the mask computes step {beyond[0]}, but the run has {num_steps} (0 to {num_steps - 1})"
            )
        return _bits(mask.at, num_steps)
    if isinstance(mask, RunsMask):
        return _write_runs(mask.compute, mask.cache, num_steps)
    if isinstance(mask, EveryMask):
        return "".join("1" if i < mask.from_ or (i - mask.from_) % mask.every == 0 else "0" for i in range(num_steps))
    if isinstance(mask, BudgetMask):
        return _bits(_spend(mask.budget, mask.power, num_steps), num_steps)
    return _preset(mask, num_steps)


def _bits(computed: Iterable[int], num_steps: int) -> str:
    chosen = set(computed)
    return "".join("1" if step in chosen else "0" for step in range(num_steps))


def _write_runs(compute: Iterable[int], cache: Iterable[int], num_steps: int) -> str:
    runs = zip_longest(compute, cache, fillvalue=0)
    bits = ("1" * min(computed, num_steps) + "0" * min(cached, num_steps) for computed, cached in runs)
    return "".join(islice(chain.from_iterable(bits), num_steps)).ljust(num_steps, "1")


def _preset(mask: PresetMask, num_steps: int) -> str:
    """Return the published mask; without one, the 28-step runs with their boundaries scaled by num_steps / 28.

    Boundaries are rounded half up, every run has at least one step, and the last step is always computed.
    """
    if num_steps in DESIGNED:
        return DESIGNED[num_steps][mask.preset]
    compute, cache = RUNS_28[mask.preset]
    lengths = [n for pair in zip_longest(compute, cache, fillvalue=0) for n in pair if n]
    bounds = [0]
    for bound in accumulate(lengths):
        bounds.append(max((2 * bound * num_steps + 28) // 56, bounds[-1] + 1))
    scaled = [after - before for before, after in pairwise(bounds)]
    return _write_runs(scaled[::2], scaled[1::2], num_steps)[:-1] + "1"


def _spend(budget: int, power: float, num_steps: int) -> Iterator[int]:
    """Yield the computed steps of a budget, in order, all different."""
    count = min(budget, num_steps)
    yield from range(min(count, 2))
    last, step = num_steps - 1, 1
    for j in range(1, count - 2):
        wanted = 1 + (last - 1) * (j / (count - 2)) ** power
        step = min(max(int(wanted + 0.5), step + 1), last - (count - 2 - j))
        yield step
    if count > 2:
        yield last


def resolve_steps(count: int | str, num_steps: int) -> int:
    """Return a count of steps; a share such as `20%` is that of `num_steps`, rounded half up."""
    if isinstance(count, int):
        return count
    return (2 * num_steps * int(count.removesuffix("%")) + 100) // 200
