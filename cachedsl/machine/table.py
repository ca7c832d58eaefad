"""What can be known of every step before the run: one walk of the machine itself."""

from __future__ import annotations

import math

from cachedsl.machine.events import RunStarted
from cachedsl.machine.simulate import take_step
from cachedsl.machine.snapshot import initial
from cachedsl.machine.transition import transition
from cachedsl.plan.ir import StackPlan, StepEntry


def step_table(plan: StackPlan, num_steps: int) -> tuple[StepEntry, ...]:
    """Return one entry per step for a machine that sees every step from 0, as a leading branch, in constant shapes.

    An entry is `open` where the verdict depends on what will be measured, or was measured before.

    One walk is enough. A policy that never measures has no open step, so its walk is the run. One that measures
    reuses on open steps only, and every open step may be computed without adding to any sum (a measurement that is
    not finite); the walk takes that path. The guards up to the mask go by index and anchors, which are the same on
    every path, and a limit that fires where nothing was reused and nothing summed up is 0 and fires on every path.
    """
    state, _ = transition(plan, initial(plan), RunStarted(num_steps))
    table = []
    for index in range(num_steps):
        state, _ = take_step(plan, state, index, lambda step, unit: math.nan)
        table.append(StepEntry(state.verdict, state.reason))
    return tuple(table)
