"""How many steps a target fraction of computed blocks allows, and the step masks that spend them; for both sides."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
from frontier_measure import SLACK, STEPS

from cachedsl.language.masks import AtMask, BudgetMask, EveryMask
from cachedsl.language.schedule import resolve_mask

BLOCKS = 24
POWERS = (1.0, 1.25, 1.6, 2.0)
Tree = dict[str, Any]


def most_steps(target: float, always: int) -> int:
    """Return how many computed steps the target allows where `always` blocks run on reused steps too."""
    return math.floor(((target + SLACK) * STEPS * BLOCKS - STEPS * always + 1e-6) / (BLOCKS - always))


def static_masks(target: float, always: int) -> list[Tree]:
    """Return the masks that a target allows, as the language writes them; both sides have them all.

    They are the ones denser at the head by a power, the fixed intervals, those with a head and then even gaps, and
    intervals with a head and a tail.
    """
    most = most_steps(target, always)
    budgets = range(most, max(most - 3, 3), -1)
    masks: list[Tree] = [{"budget": n, "power": power} for n in budgets for power in POWERS]
    masks += [{"every": every, "from": start} for every in range(2, 9) for start in range(1, 13)]
    masks += [{"at": _headed(n, head)} for n in budgets for head in (3, 4, 5, 6)]
    masks += [{"at": at} for at in intervals(target, always)]
    return [mask for mask in masks if most - 3 < bits(mask).count("1") <= most]


def is_plain(mask: Tree, target: float, always: int) -> bool:
    """Whether a mask is one of the two plainest: the intervals with a head and a tail that spend the most."""
    return mask.get("at") in sorted(intervals(target, always), key=len)[-2:]


def _headed(budget: int, head: int) -> list[int]:
    """Return `head` computed steps, then the rest of the budget evenly up to the last step."""
    rest = budget - head
    return [*range(head), *(head - 1 + round((STEPS - head) * (i + 1) / rest) for i in range(rest))]


def bits(mask: Tree) -> str:
    """Resolve a mask's tree to a string of 0 and 1."""
    if "budget" in mask:
        return resolve_mask(BudgetMask(mask["budget"], mask["power"]), STEPS)
    if "every" in mask:
        return resolve_mask(EveryMask(mask["every"], mask["from"]), STEPS)
    return resolve_mask(AtMask(mask["at"]), STEPS)


def intervals(target: float, always: int) -> list[list[int]]:
    """Return the computed steps of plain intervals with a head and a tail, spending what a target allows or a bit less.

    A head of 2 to 8 steps, every k-th step from there, the last one to six.
    """
    most = most_steps(target, always)
    found = []
    for every, head, tail in product(range(2, 9), (2, 3, 4, 8), (1, 2, 4, 6)):
        at = sorted({*range(head), *range(head - 1 + every, STEPS, every), *range(STEPS - tail, STEPS)})
        if most - 3 <= len(at) <= most:
            found.append(at)
    return found


def move(mask: str, most: int, rng: np.random.Generator) -> str:
    """Return the mask with one of its computed steps, not the first of all, one or two places further on or back.

    Where fewer than `most` steps are computed, one in two times another step is computed too.
    """
    computed = [i for i, bit in enumerate(mask) if bit == "1"][1:]
    if len(computed) + 1 < most and rng.random() < 0.5:
        more = int(rng.choice([i for i, bit in enumerate(mask) if bit == "0"]))
        return f"{mask[:more]}1{mask[more + 1 :]}"
    while True:
        left = computed[rng.integers(len(computed))]
        to = left + int(rng.choice([-2, -1, 1, 2]))
        if 0 < to < len(mask) and mask[to] == "0":
            return "".join("1" if i == to else "0" if i == left else bit for i, bit in enumerate(mask))


def reachable(target: float, always: int, warmup: int, max_continuous: int | None) -> bool:
    """Whether limits leave room for the target, if every step that may be reused is."""
    after = 0 if max_continuous is None else (STEPS - warmup) // (max_continuous + 1)
    return warmup + after <= most_steps(target, always)
