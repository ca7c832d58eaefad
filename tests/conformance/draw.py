"""Draw conformance vectors: policies, what happens in runs of them, and what a machine answers.

Every draw goes by `Draw`, which uses nothing but `random()`: the same numbers in every version of Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from attrs import define, field

T = TypeVar("T")
GRID = (0.0, 0.125, 0.25, 0.5, 1.0)
"""Values that binary fractions hold exactly, so that sums and means of them come to stand right on a bound."""
ODD = (*GRID, 0.05, 0.1, 0.15, 0.3, 2.0, math.nan, math.inf, -math.inf)


@define
class Draw:
    """Choices from a seed."""

    seed: int
    _random: Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = Random(self.seed)

    def below(self, count: int) -> int:
        return int(self._random.random() * count)

    def one_of(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def maybe(self, share: float, make: Callable[[], T]) -> T | None:
        return make() if self.chance(share) else None


SIGNALS: tuple[Any, ...] = (
    "residual",
    {"tap": "hidden_states", "accumulate": "until_compute"},
    {"tap": "probe", "reference": "previous_step", "accumulate": "lifetime"},
    {"tap": "transform_rate", "accumulate": "until_compute"},
)


def mask(draw: Draw, steps: int) -> dict[str, Any]:
    otherwise = draw.one_of(("dynamic", "dynamic", "static"))
    kind = draw.below(4)
    if kind == 0:
        return {"bits": "1" + "".join(draw.one_of("0011") for _ in range(steps - 1)), "otherwise": otherwise}
    if kind == 1:
        return {"every": 1 + draw.below(4), "from": draw.below(3), "otherwise": otherwise}
    if kind == 2:
        return {"preset": draw.one_of(("slow", "medium", "fast", "ultra")), "otherwise": otherwise}
    return {"at": sorted({draw.below(steps) for _ in range(3)}), "otherwise": otherwise}


def guarded(draw: Draw, steps: int) -> dict[str, Any]:
    """A policy of one unit, or of one and deciding back blocks, with many guards before a measurement."""
    reuse = {
        "signal": draw.one_of(SIGNALS),
        "threshold": draw.one_of((0, "always", "always", 0.1, 0.25, 0.5, 0.5, 1.0)),
        "max_total": draw.maybe(0.3, lambda: draw.below(5)),
        "max_continuous": draw.maybe(0.3, lambda: draw.below(4)),
        "max_accumulated": draw.maybe(
            0.3,
            lambda: {"limit": draw.one_of((0.25, 0.5, 1.0)), "reset": draw.one_of(("on_compute", "never"))},
        ),
    }
    compute: dict[str, Any] = {"front": 1, "back": draw.below(3)}
    if compute["back"] and draw.chance(0.5):
        compute |= {"back_blocks": [0][: compute["back"] - 1], "back_threshold": 0.25}
    return {
        "compute": compute,
        "warmup": {"steps": draw.below(5), "interval": 1 + draw.below(3)},
        "tail": draw.one_of((0, 0, 1, 2)),
        "reuse": {key: value for key, value in reuse.items() if value is not None},
        "steps": draw.maybe(0.4, lambda: mask(draw, steps)),
        "refresh": draw.maybe(0.3, lambda: {"at": 1 + draw.below(5), "repeat": draw.chance(0.5)}),
        "cfg": {"mode": "separate", "decision": draw.one_of(("per_branch", "follow_first"))},
    }


def pruned(draw: Draw, steps: int) -> dict[str, Any]:
    """A policy under which single blocks decide, by a threshold that adapts or not."""
    dynamic = {"relax": draw.one_of((0.5, 1.0, 1.25, 2.0)), "max": draw.one_of((None, 0.5, 1.0))}
    prune: dict[str, Any] = {"keep": draw.one_of(([], [2])), "update_interval": 1 + draw.below(3)}
    if draw.chance(0.8):
        prune["dynamic"] = {key: value for key, value in dynamic.items() if value is not None}
    bound = {"limit": draw.one_of((0.5, 2)), "reset": draw.one_of(("on_compute", "never"))}
    return {
        "compute": {"front": 1, "back": 1, "back_blocks": [], "back_threshold": 0.25} if draw.chance(0.5) else "F1B0",
        "warmup": 1,
        "reuse": {"threshold": 0.25, **({"max_accumulated": bound} if draw.chance(0.5) else {})},
        "prune": prune,
        "refresh": draw.maybe(0.2, lambda: {"at": 3, "repeat": True}),
    }


def summed(draw: Draw, steps: int) -> dict[str, Any]:
    """A policy with nothing in the way of measuring, so that sums and limits come to bear."""
    bound = {"limit": draw.one_of((0.5, 1.0)), "reset": draw.one_of(("on_compute", "never"))}
    scarce = draw.chance(0.4)  # a refresh gives reused steps back
    return {
        "compute": "F1B0",
        "warmup": 1,
        "reuse": {
            "signal": draw.one_of(SIGNALS),
            "threshold": draw.one_of((0.25, 0.5)),
            **({"max_accumulated": bound} if draw.chance(0.6) else {}),
            **({"max_total": 2} if scarce else {}),
        },
        "refresh": draw.maybe(1.0 if scarce else 0.2, lambda: {"at": 2 + draw.below(3), "repeat": draw.chance(0.5)}),
    }


KINDS: tuple[Callable[[Draw, int], dict[str, Any]], ...] = (guarded, guarded, pruned, summed)


OVERRIDES: tuple[dict[str, Any], ...] = (
    {"warmup": 3, "reuse": {"max_continuous": 1}},
    {"reuse": {"threshold": 0.5, "max_total": None}, "refresh": None},
    {"tail": 2, "prune": None, "predict": {"method": "taylor", "order": 2}},
    {"compute": "F2B0", "reuse": {"max_accumulated": None}},
)
"""What one stack has otherwise: keys that it adds, changes and takes out, so that a plan's rules are patched."""


def policy(draw: Draw, number: int, steps: int) -> dict[str, Any]:
    """Return the keys of a policy that is valid for runs of `steps` steps; of two stacks, one may differ."""
    keys = KINDS[number % len(KINDS)](draw, steps)
    if number % 2 and draw.chance(0.7):
        keys["stacks"] = {"single_blocks": draw.one_of(OVERRIDES)}
    written = {key: value for key, value in keys.items() if value is not None}
    return {"version": 1, "name": f"drawn-{number}", **written}


def calls(draw: Draw, steps: int, branches: tuple[str, ...], units: tuple[int, ...], measuring: bool) -> list[Any]:
    """Return what happens at each call of the model: its step and branch, and of each stack the units reached.

    A branch may join late or be left out, a loop may leave blocks out, shapes may change, and a run may go on past its
    announced end.
    """
    values = GRID if measuring else ODD
    late = draw.below(3) if len(branches) > 1 and draw.chance(0.3) else 0
    found = []
    for step in range(steps + (1 if draw.chance(0.3) else 0)):
        for place, branch in enumerate(branches):
            if (place and step < late) or draw.chance(0.03):
                continue
            stacks = []
            for count in units:
                reached = [unit for unit in range(count) if not draw.chance(0.01 if measuring else 0.06)]
                changed = draw.chance(0.02 if measuring else 0.08)
                stacks.append(
                    [
                        {
                            "unit": unit,
                            "value": draw.one_of(values),
                            **({"shape_changed": True} if changed and unit == reached[0] else {}),
                        }
                        for unit in reached
                    ]
                )
            found.append({"step": step, "branch": branch, "stacks": stacks})
    return found
