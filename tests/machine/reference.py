"""A naive interpreter of the semantics in docs/machine.md: one loop, plain variables, nothing shared with the machine.

It decides a whole run of one (stack, branch) at once, given what would be measured and which steps change shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cachedsl.policy.model import Policy


def mask_bits(policy: Policy, steps: int) -> list[int] | None:
    mask = policy.steps
    if mask is None:
        return None
    if hasattr(mask, "bits"):
        return [int(bit) for bit in mask.bits]
    if hasattr(mask, "at"):
        return [1 if i in mask.at else 0 for i in range(steps)]
    bits: list[int] = []
    for i in range(max(len(mask.compute), len(mask.cache))):
        if i < len(mask.compute):
            bits += [1] * mask.compute[i]
        if i < len(mask.cache):
            bits += [0] * mask.cache[i]
    return [bits[i] if i < len(bits) else 1 for i in range(steps)]


def interpret(
    policy: Policy,
    steps: int,
    values: Sequence[float],
    shape_changes: Sequence[bool],
    leaders: Sequence[str | None],
    indices: Sequence[int] | None = None,
) -> list[tuple[str, str]]:
    """Return (verdict, reason) for every own step; `indices` are the run's indices of those steps."""
    indices = list(range(steps)) if indices is None else list(indices)
    bits = mask_bits(policy, steps)
    warmup = policy.warmup.steps
    if bits is not None:
        leading = 0
        while leading < len(bits) and bits[leading] == 1:
            leading += 1
        warmup = min(warmup, leading)
    reuse = policy.reuse
    has_anchor = False
    total = run = 0
    spent = 0.0
    since = 0
    out = []
    for own, index in enumerate(indices):
        refreshing = False
        if policy.refresh is not None and own > 0:
            at = policy.refresh.at
            refreshing = own == at or (policy.refresh.repeat and own % at == 0)
        if refreshing:
            has_anchor, total, run, spent, since = False, 0, 0, 0.0, 0
        verdict, reason = "", ""
        if reuse.threshold == 0:
            verdict, reason = "compute", "exact"
        elif refreshing:
            verdict, reason = "compute", "refresh"
        elif not has_anchor:
            verdict, reason = "compute", "no_history"
        elif since < warmup and since % policy.warmup.interval == 0:
            verdict, reason = "compute", "warmup"
        elif policy.tail > 0 and index >= steps - policy.tail:
            verdict, reason = "compute", "tail"
        elif bits is not None and bits[index] == 1:
            verdict, reason = "compute", "scheduled"
        elif reuse.max_total is not None and total >= reuse.max_total:
            verdict, reason = "compute", "max_total"
        elif reuse.max_continuous is not None and run >= reuse.max_continuous:
            verdict, reason = "compute", "max_continuous"
        elif reuse.max_accumulated is not None and spent >= reuse.max_accumulated.limit:
            verdict, reason = "compute", "max_accumulated"
        elif bits is not None and policy.steps.otherwise == "static":
            verdict, reason = "reuse", "scheduled"
        elif reuse.threshold == "always":
            verdict, reason = "reuse", "static"
        elif leaders[own] is not None:
            verdict, reason = leaders[own], "followed"
        if shape_changes[own] and has_anchor:
            has_anchor, spent = False, 0.0
            if verdict != "compute":
                verdict, reason = "compute", "shape_changed"
        if verdict == "":
            value = values[own]
            if math.isnan(value) or math.isinf(value):
                verdict, reason = "compute", "not_finite"
            else:
                spent += value
                verdict, reason = ("reuse", "below") if value < reuse.threshold else ("compute", "above")
        if verdict == "compute":
            has_anchor = True
            run = 0
            if reuse.max_accumulated is None or reuse.max_accumulated.reset == "on_compute":
                spent = 0.0
        else:
            total += 1
            run += 1
        since += 1
        out.append((verdict, reason))
    return out
