"""Differences between plans as text, as JSON, and as Markdown for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from attrs import frozen

from cachedsl.explain.cost import Cost
from cachedsl.explain.diff import Change, PlanDiff
from cachedsl.plan.ir import Plan
from cachedsl.text.scalars import printable

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
    """Return one paragraph for each change of a policy, and a line that sums up; what is the same is left out."""
    lines: list[str] = []
    for group in alike(compared):
        lines += [*map(printable, _paragraph(group)), ""]
    return "\n".join([*lines, summed_up(compared)]) + "\n"


Group = Sequence[Compared]


def alike(compared: Sequence[Compared]) -> list[Group]:
    """Return what is not the same, in groups of what became alike of one policy, on whatever model and step count."""
    groups: dict[Any, list[Compared]] = {}
    for one in compared:
        if one.status != "same":
            groups.setdefault((one.name, one.status, one.why, one.because, _rows(one)), []).append(one)
    return list(groups.values())


def _rows(one: Compared) -> tuple[tuple[str, str, str, str], ...]:
    """Return what each change is called, what was, what is, and for which block lists; nothing where for all."""
    if one.diff is None:
        return ()
    everywhere = {stack.shape.qualified for stack in one.diff.new.stacks}
    return tuple(
        (label(change), change.before, change.after, ", ".join(change.stacks) if _some(change, everywhere) else "")
        for change in one.diff.changes
    )


def summed_up(compared: Sequence[Compared]) -> str:
    """Return how many plans there are of each status."""
    words = {"changed": "changed", "added": "added", "removed": "removed", "refused": "refused", "same": "unchanged"}
    counts = {word: sum(one.status == status for one in compared) for status, word in words.items()}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{len(compared)} plan{'' if len(compared) == 1 else 's'} compared: {said}" if said else "nothing to compare"


def _target(one: Compared) -> str:
    where = [one.model] if one.model else []
    return ", ".join([*where, *([] if one.steps is None else [f"{one.steps} steps"])])


def _targets(group: Group) -> str:
    """Return models and step counts: `flux.1-dev, 28 and 50 steps; wan2.1-t2v-1.3b, 28 steps`."""
    if len(group) == 1:
        return _target(group[0])
    counts: dict[str, list[str]] = {}
    for one in group:
        counts.setdefault(one.model, []).extend([] if one.steps is None else [str(one.steps)])
    words = []
    for model, steps in counts.items():
        known = f"{' and '.join([', '.join(steps[:-1]), steps[-1]] if steps[1:] else steps)} steps" if steps else ""
        words.append(", ".join(filter(None, (model, known))))
    return "; ".join(dict.fromkeys(filter(None, words)))


def _on(targets: str) -> str:
    return f" on {targets}" if targets else ""


def _paragraph(group: Group) -> Iterator[str]:
    first = group[0]
    yield f"{first.name}{_on(_targets(group))}: {first.status}"
    yield from (f"  because of {place}" for place in first.because)
    yield from (f"  {line}" for line in first.why.splitlines())
    for what, before, after, where in _rows(first):
        yield f"  {what}: {before} → {after}{f' [{where}]' if where else ''}"
    words = [_cost_of(one) for one in group]
    if len(set(words)) == 1:
        yield from [f"  blocks run: {words[0]}"] if words[0] else []
        return
    for one, cost in zip(group, words, strict=True):
        yield f"  blocks run{_on(_target(one))}: {cost}"


def _cost_of(one: Compared) -> str:
    """Return what a run costs in words; nothing where there is no plan, or one that is new and has no step count."""
    if one.diff is not None:
        return cost_words(*one.diff.costs)
    return "" if one.plan is None or one.plan.num_inference_steps is None else str(one.plan.cost())


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


MOST_MARKDOWN = 60_000
"""Characters of a comment; GitHub takes 65536."""


def to_markdown(compared: Sequence[Compared]) -> str:
    """Return a comment for a pull request: a line that sums up, a table of costs, and what changes in each plan.

    What would make it longer than a comment may be is left out, and the last line says so.
    """
    shown = [one for one in compared if one.status != "same"]
    parts = [f"**cachedsl**: {summed_up(compared)}\n"]
    if shown:
        parts.append("\n| plan | | blocks run before | after |\n|---|---|---:|---:|\n")
    parts += [f"| {_title(one.name, _target(one))} | {one.status} | {' | '.join(_costs(one))} |\n" for one in shown]
    for group in alike(compared):
        if group[0].diff is not None or group[0].why or group[0].because:
            parts.append("\n" + "\n".join(_details(group)) + "\n")
    kept, length = [], 0
    for part in parts:
        length += len(part)
        if length > MOST_MARKDOWN:
            kept.append("\nThe rest is too long for a comment; `cachedsl diff` shows it.\n")
            break
        kept.append(part)
    return "".join(kept)


def _details(group: Group) -> Iterator[str]:
    first = group[0]
    yield from (f"<details><summary>{_title(first.name, _targets(group))}</summary>", "")
    yield from (f"Because of {_cell(place)}." for place in first.because)
    yield from [""] if first.because else []
    if first.why:
        yield from ("```", *map(printable, first.why.replace("```", "'''").splitlines()), "```")
    if first.diff is not None:
        yield from ("| what | before | after | where |", "|---|---|---|---|")
        for what, before, after, where in _rows(first):
            yield f"| {' | '.join(map(_cell, (what, before, after, where or 'everywhere')))} |"
    yield from ("", "</details>")


def _title(name: str, targets: str) -> str:
    """Return a name as code, in which nothing is a link or calls somebody, and what it is on."""
    return f"<code>{_cell(name)}</code>{_cell(_on(targets))}"


def _costs(one: Compared) -> tuple[str, str]:
    if one.diff is not None:
        before, after = one.diff.costs
    else:
        known = None if one.plan is None or one.plan.num_inference_steps is None else one.plan.cost()
        before, after = (known, None) if one.status == "removed" else (None, known)
    return ("–" if before is None else str(before), "–" if after is None else str(after))


def _cell(text: str) -> str:
    """Return text for a cell: no sign of Markdown or HTML in a file's name or a value means anything."""
    return "".join(f"&#{ord(sign)};" if sign in "\\`*_[]|<>&~#!$@" else sign for sign in printable(text))


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
