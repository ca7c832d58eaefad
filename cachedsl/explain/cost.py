"""How many of a run's blocks a plan runs: exactly where nothing is measured, else between two bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator

from attrs import frozen

from cachedsl.machine.simulate import simulate
from cachedsl.plan.ir import Plan, StackPlan


@frozen
class Cost:
    """How many blocks run in one CFG branch of a run.

    Attributes:
        least: at least so many; the same as `most` where nothing is measured.
        most: at most so many.
        blocks: how many run without a policy.
    """

    least: int
    most: int
    blocks: int

    @property
    def exact(self) -> bool:
        """Whether it is known before the run."""
        return self.least == self.most

    @property
    def shares(self) -> tuple[float, float]:
        """The bounds as shares of all blocks, between 0 and 1."""
        return (self.least / self.blocks, self.most / self.blocks) if self.blocks else (1.0, 1.0)

    def __str__(self) -> str:
        low, high = self.shares
        return f"{high:.1%}" if self.exact else f"{low:.1%} to {high:.1%}"


def cost(plan: Plan) -> Cost:
    """Return what a run of the plan's step count costs, over all stacks that run on every step.

    The bounds are the machine's own: once nothing that is measured ever moves, once everything always does.

    Raises:
        ValueError: the plan has no step count.
    """
    if plan.num_inference_steps is None:
        raise ValueError("a plan without a step count has no cost; compile the policy with num_inference_steps")
    steps = plan.num_inference_steps
    stacks = [stack_cost(stack, steps) for stack in plan.stacks]
    return Cost(sum(c.least for c in stacks), sum(c.most for c in stacks), sum(c.blocks for c in stacks))


def stack_cost(stack: StackPlan, steps: int) -> Cost:
    """Return the cost of one stack over `steps` steps."""
    least = _run(stack, steps, 0.0)
    return Cost(min(least, most) if (most := _run(stack, steps, math.nan)) else least, most, stack.blocks * steps)


def _run(stack: StackPlan, steps: int, value: float) -> int:
    """Count the blocks that run when every measurement gives `value`; NaN computes."""
    always = stack.blocks - sum(unit.stop - unit.start for unit in stack.units)
    if not stack.units:
        return stack.blocks * steps
    spans = {unit.index: unit.stop - unit.start for unit in stack.units}
    outcomes = simulate(stack, lambda step, unit: value, steps)
    return sum(always + sum(spans[u.unit] for u in o.units if u.verdict == "compute") for o in outcomes)


def share_line(plan: Plan) -> Iterator[str]:
    """Yield what a plan costs in words, and where its step count leaves nothing to reuse."""
    found = cost(plan)
    if found.exact:
        yield f"blocks run: {found.most} of {found.blocks} ({found}) in each CFG branch"
    else:
        yield (
            f"blocks run: {found.least} to {found.most} of {found.blocks} ({found}) in each CFG branch, as the "
            "measurements turn out"
        )
    if found.blocks and found.least == found.blocks and any(stack.units for stack in plan.stacks):
        reasons = dict.fromkeys(
            entry.reason for stack in plan.stacks for entry in stack.table or () if entry.verdict == "compute"
        )
        if set(reasons) != {"exact"}:
            yield (
                f"note: {plan.num_inference_steps} steps leave nothing to reuse: every step is computed "
                f"({', '.join(reason for reason in reasons if reason)})"
            )
