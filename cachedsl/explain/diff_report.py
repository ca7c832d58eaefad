"""Differences between plans as text, as JSON, and as Markdown for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from attrs import frozen

from cachedsl.explain.cost import Cost
from cachedsl.explain.diff import Change, PlanDiff
from cachedsl.plan.ir import Plan

FORMAT = "cachedsl.diff"
VERSION = 1

Status = Literal["added", "removed", "changed", "same", "refused"]


@frozen
class Compared:
    """What became of one plan.

    Attributes:
        name: what readers call it, such as the policy's file.
        status: whether it is new, gone, different, the same, or cannot be made.
        model: the model's name; empty where it cannot be made.
        steps: the step count; None where it is not known.
        diff: what is different, of two plans.
        plan: the one plan that there is, where it is new or gone.
        why: what is wrong, where one cannot be made.
        because: the place that caused it, where that is in another file: a parent.
    """

    name: str
    status: Status
    model: str = ""
    steps: int | None = None
    diff: PlanDiff | None = None
    plan: Plan | None = None
    why: str = ""
    because: tuple[str, ...] = ()


def to_text(compared: Sequence[Compared]) -> str:
    """Return one paragraph for each plan that is not the same, and a line that sums up."""
    lines: list[str] = []
    for one in compared:
        if one.status != "same":
            lines += [*_paragraph(one), ""]
    return "\n".join([*lines, summed_up(compared)]) + "\n"


def summed_up(compared: Sequence[Compared]) -> str:
    """Return how many plans there are of each status."""
    words = {"changed": "changed", "added": "added", "removed": "removed", "refused": "refused", "same": "unchanged"}
    counts = {word: sum(one.status == status for one in compared) for status, word in words.items()}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{len(compared)} plan{'' if len(compared) == 1 else 's'} compared: {said}" if said else "nothing to compare"


def _title(one: Compared) -> str:
    where = [one.model] if one.model else []
    where += [] if one.steps is None else [f"{one.steps} steps"]
    return f"{one.name} on {', '.join(where)}" if where else one.name


def _paragraph(one: Compared) -> Iterator[str]:
    yield f"{_title(one)}: {one.status}"
    yield from (f"  because of {place}" for place in one.because)
    yield from (f"  {line}" for line in one.why.splitlines())
    if one.plan is not None and one.plan.num_inference_steps is not None:
        yield f"  blocks run: {one.plan.cost()}"
    if one.diff is None:
        return
    everywhere = {stack.shape.qualified for stack in one.diff.new.stacks}
    for change in one.diff.changes:
        where = f" [{', '.join(change.stacks)}]" if _some(change, everywhere) else ""
        yield f"  {label(change)}: {change.before} → {change.after}{where}"
    yield f"  blocks run: {cost_words(*one.diff.costs)}"


def _some(change: Change, everywhere: set[str]) -> bool:
    return bool(change.stacks) and set(change.stacks) != everywhere


def label(change: Change) -> str:
    """Return what a change is called: the steps, or the key of the policy."""
    if change.at:
        return change.at
    if not change.key:
        return change.what
    return "steps computed" if change.what == "steps" else ".".join(change.key)


def cost_words(before: Cost | None, after: Cost | None) -> str:
    """Return the shares of blocks that run before and after; once, where they are the same."""
    words = ["unknown" if one is None else str(one) for one in (before, after)]
    return words[0] if words[0] == words[1] else f"{words[0]} → {words[1]}"


def to_markdown(compared: Sequence[Compared]) -> str:
    """Return a comment for a pull request: a line that sums up, a table of costs, and what changes in each plan."""
    lines = [f"**cachedsl**: {summed_up(compared)}", ""]
    shown = [one for one in compared if one.status != "same"]
    if shown:
        lines += ["| plan | | blocks run before | after |", "|---|---|---:|---:|"]
        lines += [f"| {_cell(_title(one))} | {one.status} | {' | '.join(_costs(one))} |" for one in shown]
    for one in shown:
        if one.diff is None and not one.why and not one.because:
            continue
        lines += ["", f"<details><summary>{_cell(_title(one))}</summary>", ""]
        lines += [f"Because of {place}." for place in one.because] + ([""] if one.because else [])
        if one.why:
            lines += ["```", *one.why.replace("```", "'''").splitlines(), "```"]
        if one.diff is not None:
            lines += _table(one.diff)
        lines += ["", "</details>"]
    return "\n".join(lines).rstrip() + "\n"


def _table(diff: PlanDiff) -> Iterator[str]:
    everywhere = {stack.shape.qualified for stack in diff.new.stacks}
    yield "| what | before | after | where |"
    yield "|---|---|---|---|"
    for change in diff.changes:
        where = ", ".join(change.stacks) if _some(change, everywhere) else "everywhere"
        yield f"| {' | '.join(map(_cell, (label(change), change.before, change.after, where)))} |"


def _costs(one: Compared) -> tuple[str, str]:
    if one.diff is not None:
        before, after = one.diff.costs
    else:
        known = None if one.plan is None or one.plan.num_inference_steps is None else one.plan.cost()
        before, after = (known, None) if one.status == "removed" else (None, known)
    return ("–" if before is None else str(before), "–" if after is None else str(after))


def _cell(text: str) -> str:
    """Return text for a cell: no sign of Markdown or HTML in a file's name or a value means anything."""
    return "".join(f"&#{ord(sign)};" if sign in "\\`*[]|<>&~#\n" else sign for sign in text)


def to_tree(compared: Sequence[Compared]) -> dict[str, Any]:
    """Return what JSON says: a format and its version, and one object a plan."""
    return {"format": FORMAT, "version": VERSION, "plans": [_object(one) for one in compared]}


def _object(one: Compared) -> dict[str, Any]:
    tree: dict[str, Any] = {"name": one.name, "status": one.status, "model": one.model, "steps": one.steps}
    if one.why:
        tree["why"] = one.why
    if one.because:
        tree["because"] = list(one.because)
    if one.diff is not None:
        before, after = one.diff.costs
        tree["changes"] = [_change(change) for change in one.diff.changes]
        tree["cost"] = {"before": _cost(before), "after": _cost(after)}
    elif one.plan is not None and one.plan.num_inference_steps is not None:
        tree["cost"] = {"before" if one.status == "removed" else "after": _cost(one.plan.cost())}
    return tree


def _change(change: Change) -> dict[str, Any]:
    return {
        "what": change.what,
        "key": ".".join(change.key),
        "at": change.at,
        "stacks": list(change.stacks),
        "before": change.before,
        "after": change.after,
    }


def _cost(cost: Cost | None) -> dict[str, int] | None:
    return None if cost is None else {"least": cost.least, "most": cost.most, "blocks": cost.blocks}
