"""What comes after the forward: the outcome of a step of one stack, as the trace has it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cachedsl.machine.snapshot import Snapshot
from cachedsl.plan.ir import StackPlan, Unit
from cachedsl.trace import StepRecord, UnitRecord


def step_record(
    plan: StackPlan,
    units: Sequence[UnitRecord],
    *,
    run: int,
    branch: str,
    step: int,
    passage: int,
    loop: int,
    blocks_run: int,
) -> StepRecord:
    """Return what became of a step; `passage` counts how often the list was entered before in this forward."""
    middle = [u for u in units if plan.units[u.unit].kind != "back"]
    telling = middle[0] if middle else None
    for unit in middle:
        if unit.outcome == "reused":
            telling = unit
            break
    reused = telling is not None and telling.outcome == "reused"
    return StepRecord(
        run=run,
        transformer=plan.shape.transformer,
        stack=plan.name if passage == 0 else f"{plan.name}#{passage + 1}",
        branch=branch,
        step=step,
        outcome="reused" if reused else "computed",
        reason=telling.reason if telling else "no_unit",
        value=telling.value if telling else None,
        blocks_run=blocks_run,
        blocks=plan.shape.blocks,
        units=tuple(units),
        loop=loop,
    )


def compared(plan: StackPlan, snapshot: Snapshot, unit: Unit, measured: float) -> float:
    """Return what the machine held against the threshold: the value, or the sum that it went into."""
    signal = plan.signal
    sums = unit.kind == "middle" and signal is not None and signal.accumulate != "none" and math.isfinite(measured)
    return snapshot.drift if sums else measured
