"""Show a plan: as text for a terminal, as stable JSON to commit, as a Mermaid state diagram."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import attrs

from cachedsl.machine.plan import Plan, StackPlan, StepEntry
from cachedsl.machine.transition import warmup_length
from cachedsl.policy.parts import PREDICT_PARAMETERS, Cfg
from cachedsl.policy.signal import Signal, written


def to_json(plan: Plan) -> str:
    """Return indented JSON with sorted keys and a final newline. Runs of equal table entries are written as one."""
    tree = {
        "policy": plan.policy_name,
        "model": plan.model,
        "num_inference_steps": plan.num_inference_steps,
        "cfg": attrs.asdict(plan.cfg),
        "stacks": [_stack_tree(stack) for stack in plan.stacks],
    }
    return json.dumps(tree, indent=2, sort_keys=True) + "\n"


def _stack_tree(stack: StackPlan) -> dict[str, Any]:
    policy = attrs.asdict(stack.policy)
    for part in ("steps", "compute"):
        policy.pop(part)  # stands as mask, front and back
    read = ("method", *PREDICT_PARAMETERS[stack.policy.predict.method])
    if stack.policy.prune is None:
        policy.pop("prune")
    if stack.policy.compute.back_threshold is not None:
        policy["back_threshold"] = stack.policy.compute.back_threshold
    policy["predict"] = {name: policy["predict"][name] for name in read}
    policy["reuse"]["signal"] = _signal(stack.policy.reuse.signal)
    return {
        "stack": stack.shape.qualified,
        "blocks": stack.blocks,
        "front": stack.front,
        "back": stack.back,
        "units": [attrs.asdict(unit) for unit in stack.units],
        "measures": stack.measures,
        "mask": stack.mask,
        "otherwise": stack.policy.steps.otherwise if stack.policy.steps else None,
        "policy": policy,
        "table": None if stack.table is None else list(table_lines(stack.table)),
        "note": stack.note,
    }


def _signal(signal: Signal) -> Any:
    """Return the tap's name, and with it what differs from what the name stands for."""
    differs = {key: attrs.asdict(v) if attrs.has(type(v)) else v for key, v in written(signal).items()}
    return {"tap": signal.tap, **differs} if differs else signal.tap


def to_text(plan: Plan) -> str:
    """Return the units and the step table of every stack."""
    steps = "unknown steps" if plan.num_inference_steps is None else f"{plan.num_inference_steps} steps"
    lines = [f"{plan.policy_name} on {plan.model}, {steps}, cfg {plan.cfg.mode}"]
    for stack in plan.stacks:
        lines += ["", f"{stack.shape.qualified}, {stack.blocks} blocks"]
        if stack.note:
            lines.append(f"  {stack.note}")
            continue
        lines.append(f"  {_blocks_line(stack)}")
        if stack.table is not None:
            lines.append(f"  {table_bits(stack.table)}  (1 compute, 0 reuse, ? decided by measuring)")
            lines += [f"  {line}" for line in table_lines(stack.table)]
    return "\n".join(lines) + "\n"


def _blocks_line(stack: StackPlan) -> str:
    parts = [f"front {_span(0, stack.front)}"] if stack.front else []
    for kind, run in groupby(stack.units, key=lambda unit: unit.kind):
        units = list(run)
        if kind == "middle":
            parts.append(f"middle {_span(units[0].start, units[0].stop)}")
        elif kind == "pruned":
            parts.append(f"prunable {', '.join(_spans(unit.start for unit in units))}")
    parts += [f"back {_span(stack.blocks - stack.back, stack.blocks)}"] if stack.back else []
    deciding = [unit.start for unit in stack.units if unit.kind == "back"]
    parts += [f"of which {', '.join(_spans(deciding))} only when moved"] if deciding else []
    return ", ".join(parts)


def _spans(indices: Iterable[int]) -> Iterator[str]:
    """Yield runs of consecutive indices as spans."""
    for _, run in groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0]):
        members = [index for _, index in run]
        yield _span(members[0], members[-1] + 1)


def _span(start: int, stop: int) -> str:
    return str(start) if stop - start == 1 else f"{start}-{stop - 1}"


def table_bits(table: tuple[StepEntry, ...]) -> str:
    """Return one character a step: 1 computed, 0 reused, ? open."""
    return "".join({"compute": "1", "reuse": "0", "open": "?"}[entry.verdict] for entry in table)


def table_lines(table: tuple[StepEntry, ...]) -> Iterator[str]:
    """Yield the table with runs of equal entries as one line: `0-7 compute (no_history, warmup)`."""
    index = 0
    for entry, run in groupby(table):
        count = len(list(run))
        reason = f" ({entry.reason})" if entry.reason else ""
        yield f"{_span(index, index + count)} {entry.verdict}{reason}"
        index += count


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


def _arrows(stack: StackPlan, cfg: Cfg) -> Iterator[Arrow]:
    """Yield the transitions of one machine: from, to, and what it takes."""
    exact = stack.policy.reuse.threshold == 0
    yield "Ended", "Idle", "RunStarted"
    yield "Idle", "Stepping", f"StepStarted, compute if {' or '.join(_step_guards(stack))}"
    back = not exact and any(unit.kind == "back" for unit in stack.units)
    if stack.signal is not None:
        if cfg.decision == "follow_first":
            yield "Stepping", "Stepping", "UnitReached, later branches as the first one"
        yield "Stepping", "Measuring", "UnitReached on an open step"
    elif not exact:
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
    policy = stack.policy
    if policy.measures:
        tap = policy.reuse.signal.tap if policy.prune is None else "block_input"
        adaptive = " or what the step allows" if policy.prune is not None and policy.prune.dynamic is not None else ""
        summed = policy.prune is None and policy.reuse.signal.accumulate != "none"
        yield f"reuse if {'sum of ' * summed}{tap} below {policy.reuse.threshold}{adaptive}"
    if any(unit.kind == "back" for unit in stack.units):
        yield f"reuse a back block if block_input below {policy.compute.back_threshold}"


def _step_guards(stack: StackPlan) -> Iterator[str]:
    """Yield the step guards that this plan can fire, in the machine's order."""
    policy, reuse = stack.policy, stack.policy.reuse
    if reuse.threshold == 0:
        yield "exact"
        return
    if policy.refresh is not None:
        yield f"refresh {'every' if policy.refresh.repeat else 'at'} {policy.refresh.at}"
    yield "no_history"
    if length := warmup_length(stack):
        every = f" every {policy.warmup.interval}" if policy.warmup.interval > 1 else ""
        yield f"warmup {length}{every}"
    if policy.tail:
        yield f"tail {policy.tail}"
    if policy.steps is not None:
        yield "scheduled"
    if reuse.max_total is not None:
        yield f"max_total {reuse.max_total}"
    if reuse.max_continuous is not None:
        yield f"max_continuous {reuse.max_continuous}"
    if reuse.max_accumulated is not None and (stack.signal is not None or not reuse.max_accumulated.limit):
        yield f"max_accumulated {reuse.max_accumulated.limit:g}"
