"""Show a plan as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from cachedsl.explain.cost import share_line
from cachedsl.plan.ir import Plan, StackPlan, StepEntry


def to_text(plan: Plan) -> str:
    """Return the units of every stack, and the steps of those that have them alike once."""
    steps = "unknown steps" if plan.num_inference_steps is None else f"{plan.num_inference_steps} steps"
    lines = [f"{plan.policy_name} on {plan.model}, {steps}, cfg {plan.cfg.mode}"]
    alike: dict[tuple[StepEntry, ...] | None, list[StackPlan]] = {}
    for stack in plan.stacks:
        alike.setdefault(stack.table if stack.units else None, []).append(stack)
    for table, stacks in alike.items():
        for stack in stacks:
            lines += ["", f"{stack.shape.qualified}, {stack.blocks} blocks", f"  {stack.note or _blocks_line(stack)}"]
        if table is not None:
            lines += ["", *_table(table)] if len(stacks) > 1 else _table(table)
    if plan.num_inference_steps is not None:
        lines += ["", *share_line(plan)]
    return "\n".join(lines) + "\n"


def _table(table: tuple[StepEntry, ...]) -> list[str]:
    """Return the steps of stacks that all have them alike."""
    bits = table_bits(table)
    legend = "1 compute, 0 reuse" + (", ? decided by measuring" if "?" in bits else "")
    more = table_lines(table) if "?" in bits else ()
    return [f"  {bits}  ({legend})", *(f"  {line}" for line in more)]


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
