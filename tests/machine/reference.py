"""A naive interpreter of the semantics in docs/machine.md: one loop, plain variables, nothing shared with the machine.

It decides a whole run of one (stack, branch) at once, given what would be measured, which shapes change and which
units the model's loop leaves out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from cachedsl.language.policy import Policy

PUBLISHED = json.loads((Path(__file__).parent / "published_masks.json").read_text(encoding="utf-8"))


def mask_bits(policy: Policy, steps: int) -> list[int] | None:
    mask = policy.steps
    if mask is None:
        return None
    if hasattr(mask, "bits"):
        return [int(bit) for bit in mask.bits]
    if hasattr(mask, "at"):
        return [1 if i in mask.at else 0 for i in range(steps)]
    if hasattr(mask, "every"):
        return [1 if i < mask.from_ or (i - mask.from_) % mask.every == 0 else 0 for i in range(steps)]
    if hasattr(mask, "budget"):
        return budget_bits(mask.budget, mask.power, steps)
    if hasattr(mask, "preset"):
        return preset_bits(mask.preset, steps)
    bits: list[int] = []
    for i in range(max(len(mask.compute), len(mask.cache))):
        if i < len(mask.compute):
            bits += [1] * mask.compute[i]
        if i < len(mask.cache):
            bits += [0] * mask.cache[i]
    return [bits[i] if i < len(bits) else 1 for i in range(steps)]


def budget_bits(budget: int, power: float, steps: int) -> list[int]:
    """The first two, the last, and the others nearest to where j^power puts them, each at least one later."""
    bits = [0] * steps
    count = min(budget, steps)
    for i in range(min(count, 2)):
        bits[i] = 1
    if count > 2:
        bits[steps - 1] = 1
    before = 1
    for j in range(1, count - 2):
        place = math.floor(1 + (steps - 2) * (j / (count - 2)) ** power + 0.5)
        place = max(place, before + 1)
        while sum(1 for i in range(place + 1, steps - 1)) < count - 3 - j:  # room for those that follow
            place -= 1
        bits[place] = 1
        before = place
    return bits


def preset_bits(preset: str, steps: int) -> list[int]:
    """The published mask where there is one; else each bound of the 28-step runs, scaled and rounded half up."""
    if str(steps) in PUBLISHED["designed"]:
        return [int(bit) for bit in PUBLISHED["designed"][str(steps)][preset]]
    computed, cached = PUBLISHED["runs_of_28"][preset]
    bits: list[int] = []
    bound = 0
    for i in range(len(computed)):
        for lengths, bit in ((computed, 1), (cached, 0)):
            if i < len(lengths):
                bound += lengths[i]
                end = max(math.floor(bound * steps / 28 + 0.5), len(bits) + 1)
                while len(bits) < end:
                    bits.append(bit)
    bits = bits[:steps]
    bits[steps - 1] = 1
    return bits


def interpret(
    policy: Policy,
    steps: int,
    values: Sequence[float],
    shape_changes: Sequence[bool],
    leaders: Sequence[str | None],
    indices: Sequence[int] | None = None,
) -> list[tuple[str, str]]:
    """Return (verdict, reason) for every own step of a stack of one unit; `indices` are the run's indices of them."""
    units = interpret_units(
        policy,
        steps,
        ["middle"],
        [[value] for value in values],
        [[change] for change in shape_changes],
        [[True] for _ in values],
        leaders,
        list(range(steps)) if indices is None else indices,
    )
    return [decided for (decided,) in units]


def reused_so_far(kinds: Sequence[str], decided: Sequence[tuple[str, str] | None]) -> bool:
    for kind, outcome in zip(kinds, decided, strict=False):
        if kind != "back" and outcome is not None and outcome[0] == "reuse":
            return True
    return False


def lacking(anchors: Sequence[int], needed: int, reached_before: Sequence[bool]) -> bool:
    """Tell whether a unit lacks anchors, of those that the step before reached; where it reached none, they all do."""
    if not any(reached_before):
        return True
    return any(was and count < needed for was, count in zip(reached_before, anchors, strict=True))


def interpret_units(
    policy: Policy,
    steps: int,
    kinds: Sequence[str],
    values: Sequence[Sequence[float]],
    shape_changes: Sequence[Sequence[bool]],
    reached: Sequence[Sequence[bool]],
    leaders: Sequence[str | None],
    indices: Sequence[int],
) -> list[list[tuple[str, str] | None]]:
    """Return (verdict, reason) for every own step and unit, None for a unit that was not reached."""
    bits = mask_bits(policy, steps)
    warmup = policy.warmup.steps
    if bits is not None:
        leading = 0
        while leading < len(bits) and bits[leading] == 1:
            leading += 1
        warmup = min(warmup, leading)
    reuse = policy.reuse
    anchors = [0] * len(kinds)
    measures = reuse.threshold not in ("always", 0) and (bits is None or policy.steps.otherwise == "dynamic")
    needed = 2 if measures and policy.prune is None and reuse.signal.tap == "transform_rate" else 1
    total = run = 0
    spent = drift = 0.0
    since = 0
    out = []
    for own, index in enumerate(indices):
        refreshing = False
        if policy.refresh is not None and own > 0:
            at = policy.refresh.at
            refreshing = own == at or (policy.refresh.repeat and own % at == 0)
        if refreshing:
            anchors, total, run, spent, drift, since = [0] * len(kinds), 0, 0, 0.0, 0.0, 0
        step, why = "open", ""
        if reuse.threshold == 0:
            step, why = "compute", "exact"
        elif refreshing:
            step, why = "compute", "refresh"
        elif lacking(anchors, needed, reached[own - 1] if own else [True] * len(kinds)):
            step, why = "compute", "no_history"
        elif since < warmup and since % policy.warmup.interval == 0:
            step, why = "compute", "warmup"
        elif index >= steps:
            step, why = "compute", "past_end"
        elif policy.tail > 0 and index >= steps - policy.tail:
            step, why = "compute", "tail"
        elif bits is not None and bits[index] == 1:
            step, why = "compute", "scheduled"
        elif reuse.max_total is not None and total >= reuse.max_total:
            step, why = "compute", "max_total"
        elif reuse.max_continuous is not None and run >= reuse.max_continuous:
            step, why = "compute", "max_continuous"
        elif reuse.max_accumulated is not None and spent >= reuse.max_accumulated.limit:
            step, why = "compute", "max_accumulated"
        elif bits is not None and policy.steps.otherwise == "static":
            step, why = "reuse", "scheduled"
        elif reuse.threshold == "always":
            step, why = "reuse", "static"
        elif leaders[own] is not None:
            step, why = leaders[own], "followed"
        decided: list[tuple[str, str] | None] = []
        measured: list[float] = []
        for unit in range(len(kinds)):
            if not reached[own][unit]:
                decided.append(None)
                continue
            verdict, reason = step, why
            if shape_changes[own][unit] and anchors[unit]:
                anchors, spent, drift = [0] * len(kinds), 0.0, 0.0
                if step != "compute":
                    verdict, reason = "compute", "shape_changed"
            elif kinds[unit] == "back" and step != "compute" and not reused_so_far(kinds, decided):
                verdict, reason = "compute", "computed"
            elif step != "compute" and not anchors[unit]:
                verdict, reason = "compute", "no_history"
            elif kinds[unit] == "back" and step != "compute":
                value = values[own][unit]
                if math.isnan(value) or math.isinf(value):
                    verdict, reason = "compute", "not_finite"
                elif value < policy.compute.back_threshold:
                    verdict, reason = "reuse", "back_below"
                else:
                    verdict, reason = "compute", "back_above"
            elif step == "open":
                value = values[own][unit]
                if math.isnan(value) or math.isinf(value):
                    verdict, reason = "compute", "not_finite"
                else:
                    limit = reuse.threshold
                    if policy.prune is not None and policy.prune.dynamic is not None:
                        seen = [v for v in measured[:5] if v > 0]
                        if seen:
                            relaxed = policy.prune.dynamic.relax * (sum(seen) / len(seen))
                            top = policy.prune.dynamic.max
                            top = 2 * reuse.threshold if top is None else top
                            if relaxed > reuse.threshold and relaxed < top:
                                limit = relaxed
                    measured.append(value)
                    spent += value
                    drift = drift + value if policy.prune is None and reuse.signal.accumulate != "none" else value
                    verdict, reason = ("reuse", "below") if drift < limit else ("compute", "above")
            if verdict == "compute":
                anchors[unit] += 1
            decided.append((verdict, reason))
        reused = False
        for kind, outcome in zip(kinds, decided, strict=True):
            if kind != "back" and outcome is not None and outcome[0] == "reuse":
                reused = True
        if reused:
            total += 1
            run += 1
        else:
            run = 0
            if reuse.max_accumulated is None or reuse.max_accumulated.reset == "on_compute":
                spent = 0.0
            if policy.prune is not None or reuse.signal.accumulate != "lifetime":
                drift = 0.0
        since += 1
        out.append(decided)
    return out
