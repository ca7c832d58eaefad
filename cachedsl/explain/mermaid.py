"""Show the machines of a plan as a Mermaid state diagram, made from the guards."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.machine.guards import step_labels
from cachedsl.plan.ir import Guidance, Plan, StackPlan

Arrow = tuple[str, str, str]


def to_mermaid(plan: Plan) -> str:
    """Return a `stateDiagram-v2`: the phases, and on the arrows the guards that this plan can fire.

    Stacks whose machines differ in that get a diagram each, side by side; stacks without a unit have no machine.
    """
    groups: dict[tuple[Arrow, ...], list[str]] = {}
    for stack in plan.stacks:
        if stack.units:
            groups.setdefault(tuple(_arrows(stack, plan.cfg)), []).append(stack.shape.qualified)
    lines = ["stateDiagram-v2"]
    for number, (arrows, names) in enumerate(groups.items(), 1):
        if len(groups) == 1:
            lines += _diagram(arrows, "")
        else:
            lines.append(f'    state "{", ".join(names)}" as Machine{number} {{')
            lines += [f"    {line}" for line in _diagram(arrows, str(number))]
            lines.append("    }")
    return "\n".join(lines) + "\n"


def _diagram(arrows: tuple[Arrow, ...], suffix: str) -> Iterator[str]:
    """Yield the lines of one machine; `suffix` tells its phases from those of the others."""
    phases = dict.fromkeys(source for source, _, _ in arrows)
    if suffix:
        yield from (f'    state "{phase}" as {phase}{suffix}' for phase in phases)
    yield f"    [*] --> Ended{suffix}"
    for source, target, label in arrows:
        yield f"    {source}{suffix} --> {target}{suffix}: {label}"


def _arrows(stack: StackPlan, cfg: Guidance) -> Iterator[Arrow]:
    """Yield the transitions of one machine: from, to, and what it takes."""
    rules = stack.rules
    yield "Ended", "Idle", "RunStarted"
    yield "Idle", "Stepping", f"StepStarted, compute if {' or '.join(step_labels(stack))}"
    back = not rules.exact and stack.decides_back
    if stack.signal is not None:
        if cfg.decision == "follow_first":
            yield "Stepping", "Stepping", "UnitReached, later branches as the first one"
        yield "Stepping", "Measuring", "UnitReached on an open step"
    elif not rules.exact:
        yield "Stepping", "Stepping", "UnitReached, reuse unless forced"
    if back:
        yield "Stepping", "Measuring", "UnitReached, a back block on a reused step"
    if back or stack.signal is not None:
        yield "Measuring", "Stepping", f"UnitMeasured, {' and '.join(_unit_guards(stack))}, else compute"
        yield "Measuring", "Ended", "Failed"
    yield "Stepping", "Idle", "StepEnded"
    yield "Stepping", "Ended", "Failed"
    yield "Idle", "Ended", "RunEnded or Failed"


def _unit_guards(stack: StackPlan) -> Iterator[str]:
    """Yield what a measured value is compared with."""
    rules, signal = stack.rules, stack.signal
    if signal is not None:
        adaptive = " or what the step allows" if rules.prune is not None and rules.prune.relax is not None else ""
        summed = signal.accumulate != "none"
        yield f"reuse if {'sum of ' * summed}{signal.tap} below {rules.threshold}{adaptive}"
    if stack.decides_back and rules.back_signal is not None:
        yield f"reuse a back block if {rules.back_signal.tap} below {rules.back_threshold}"
