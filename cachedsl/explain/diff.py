"""What changes from one plan to another, by meaning: blocks, limits, signals, predictors, steps and cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Literal, get_args

import attrs
from attrs import field, frozen

from cachedsl.explain.cost import Cost, cost
from cachedsl.explain.text import table_bits
from cachedsl.plan.frozen import thaw
from cachedsl.plan.ir import Plan, StackPlan, StepEntry
from cachedsl.plan.layout import ALL, Layout, layout_of
from cachedsl.plan.rules import PredictPlan, Rules, SignalPlan

What = Literal["run", "stacks", "blocks", "decision", "limits", "predictor", "guidance", "steps"]
Key = tuple[str, ...]

NOTHING = "–"


@frozen
class Change:
    """One thing that is different.

    Attributes:
        what: which part of a plan it belongs to.
        key: the key of a policy that says it, such as `("reuse", "threshold")`; of the steps, `("steps",)`, though
            other keys may be why they change.
        stacks: the block lists that it holds for, `transformer.list` each; empty where it holds for the run.
        before: what was, in words.
        after: what is, in words.
        at: which steps, of a change of steps.
    """

    what: What
    key: Key
    stacks: tuple[str, ...]
    before: str
    after: str
    at: str = ""


@frozen
class PlanDiff:
    """Two plans, what is different, and what each costs (None without a step count)."""

    old: Plan
    new: Plan
    changes: tuple[Change, ...] = field(converter=tuple[Change, ...])

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def costs(self) -> tuple[Cost | None, Cost | None]:
        """What a run costs before and after, in blocks; None where the step count is not known."""
        before, after = (None if plan.num_inference_steps is None else cost(plan) for plan in (self.old, self.new))
        return before, after


def diff(old: Plan, new: Plan) -> PlanDiff:
    """Return what `new` does otherwise than `old`. Names of policies and words of descriptions are no difference."""
    found = [*_of_run(old, new), *_of_stacks(old, new)]
    for before, after in _pairs(old, new):
        name = (after.shape.qualified,)
        found += [attrs.evolve(change, stacks=name) for change in _of_stack(before, after)]
    return PlanDiff(old, new, _together(found))


def _together(changes: list[Change]) -> Iterator[Change]:
    """Yield changes that several stacks have alike as one."""
    alike: dict[Change, list[str]] = {}
    for change in changes:
        alike.setdefault(attrs.evolve(change, stacks=()), []).extend(change.stacks)
    order = get_args(What)
    for change, stacks in sorted(alike.items(), key=lambda one: order.index(one[0].what)):
        yield attrs.evolve(change, stacks=tuple(dict.fromkeys(stacks)))


def _of_run(old: Plan, new: Plan) -> Iterator[Change]:
    if old.model != new.model:
        yield Change("run", (), (), old.model, new.model)
    if old.num_inference_steps != new.num_inference_steps:
        counts = [f"{plan.num_inference_steps or 'unknown'} steps" for plan in (old, new)]
        yield Change("run", (), (), counts[0], counts[1])
    for name in ("mode", "order", "decision"):
        before, after = getattr(old.cfg, name), getattr(new.cfg, name)
        if before != after:
            yield Change("guidance", ("cfg", name), (), before, after)


def _members(stack: StackPlan) -> set[tuple[str, str]]:
    return {(stack.transformer, name) for name, _ in stack.shape.members}


def _pairs(old: Plan, new: Plan) -> Iterator[tuple[StackPlan, StackPlan]]:
    """Yield the stacks that have block lists in common."""
    for after in new.stacks:
        for before in old.stacks:
            if _members(before) & _members(after):
                yield before, after


def _of_stacks(old: Plan, new: Plan) -> Iterator[Change]:
    """Yield the block lists that one of the two does not have, and those that are joined in one of them alone."""
    for plan, other in ((old, new), (new, old)):
        theirs = {member for stack in other.stacks for member in _members(stack)}
        for stack in plan.stacks:
            if not _members(stack) & theirs:
                words = f"{stack.blocks} blocks"
                before, after = (words, "not there") if plan is old else ("not there", words)
                yield Change("stacks", ("stacks",), (stack.shape.qualified,), before, after)
    chains = [[stack.shape.qualified for stack in plan.stacks] for plan in (old, new)]
    joined = [any("+" in name for name in names) for names in chains]
    if joined[0] != joined[1]:
        spans = ["one chain" if one else "each list by itself" for one in joined]
        yield Change("stacks", ("span",), tuple(chains[1]), spans[0], spans[1])


def _change(what: What, key: Key, before: str, after: str, at: str = "") -> Change:
    return Change(what, key, (), before, after, at)


def _of_stack(old: StackPlan, new: StackPlan) -> Iterator[Change]:
    layouts = layout_of(old), layout_of(new)
    if layouts[0] != layouts[1]:
        yield _change("blocks", ("compute",), layout_words(layouts[0]), layout_words(layouts[1]))
    if old.blocks != new.blocks and old.shape.members != new.shape.members and not {"+"} & {*old.name, *new.name}:
        yield _change("blocks", (), f"{old.blocks} blocks", f"{new.blocks} blocks")
    yield from _of_rules(old.rules, new.rules)
    if old.mask != new.mask:
        yield _change("limits", ("steps",), old.mask or NOTHING, new.mask or NOTHING)
    if old.table is not None and new.table is not None and len(old.table) == len(new.table):
        yield from _of_tables(old.table, new.table)


def layout_words(layout: Layout) -> str:
    """Return which blocks always run, as policies write it, whatever the block count."""
    if layout.front == ALL:
        return "in full"
    words = [f"F{layout.front}B{layout.back}"]
    if layout.middle == "each":
        keep = f" but {', '.join(map(str, layout.keep))}" if layout.keep else ""
        words.append(f"each other block{keep} by itself")
    if layout.decides:
        words.append(f"of the back {', '.join(map(str, layout.decides))} only when moved")
    if layout.units is not None:
        words.append(f"units {', '.join(f'{start}-{stop - 1}' for start, stop, _ in layout.units)}")
    return "; ".join(words)


LIMITS: Mapping[str, Key] = {
    "warmup": ("warmup", "steps"),
    "warmup_interval": ("warmup", "interval"),
    "tail": ("tail",),
    "otherwise": ("steps", "otherwise"),
    "max_total": ("reuse", "max_total"),
    "max_continuous": ("reuse", "max_continuous"),
    "max_accumulated": ("reuse", "max_accumulated"),
    "reset": ("reuse", "max_accumulated", "reset"),
    "refresh": ("refresh", "at"),
    "refresh_repeat": ("refresh", "repeat"),
    "back_threshold": ("compute", "back_threshold"),
}
"""The fields of `Rules` that stand for themselves, and the keys that say them."""


def _of_rules(old: Rules, new: Rules) -> Iterator[Change]:
    if old.threshold != new.threshold:
        yield _change("decision", ("reuse", "threshold"), shown(old.threshold), shown(new.threshold))
    yield from _of_signals(old.signal, new.signal)
    for name, key in LIMITS.items():
        before, after = getattr(old, name), getattr(new, name)
        # what empties a sum says nothing where there is no sum
        if before != after and not (name == "reset" and None in (old.max_accumulated, new.max_accumulated)):
            yield _change("limits", key, shown(before), shown(after))
    yield from _of_trees("decision", ("prune",), _tree(old.prune), _tree(new.prune))
    yield from _of_predictors(old.predict, new.predict)


def _of_signals(old: SignalPlan | None, new: SignalPlan | None) -> Iterator[Change]:
    key = ("reuse", "signal")
    if old is None or new is None or old.tap != new.tap:
        before, after = (NOTHING if one is None else one.tap for one in (old, new))
        if before != after:
            yield _change("decision", key, before, after)
        return
    yield from _of_trees("decision", key, _parameters(old), _parameters(new))


def _parameters(plan: SignalPlan | PredictPlan) -> dict[str, Any]:
    return {name: value for name, value in thaw(plan.parameters).items() if value is not None}


def _of_predictors(old: PredictPlan, new: PredictPlan) -> Iterator[Change]:
    if old.method != new.method:
        yield _change("predictor", ("predict", "method"), _predictor(old), _predictor(new))
        return
    yield from _of_trees("predictor", ("predict",), _parameters(old), _parameters(new))


def _predictor(plan: PredictPlan) -> str:
    order = plan.parameters.get("order")
    return plan.method if order is None else f"{plan.method} of order {order}"


def _tree(part: Any) -> dict[str, Any] | None:
    return None if part is None else {name: value for name, value in attrs.asdict(part).items() if value is not None}


def _of_trees(what: What, key: Key, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[Change]:
    if old is None or new is None:
        if old != new:
            words = [NOTHING if tree is None else _entries(tree) for tree in (old, new)]
            yield _change(what, key, words[0], words[1])
        return
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield _change(what, (*key, name), shown(old.get(name)), shown(new.get(name)))


def _entries(tree: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in tree.items()) or "by itself"


def shown(value: Any) -> str:
    """Return a value of a plan as a reader writes it; of a long list its ends."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, (list, tuple)):
        cells = [shown(one) for one in value]
        if len(cells) > 6:
            cells = [*cells[:2], f"… {len(cells)} in all …", cells[-1]]
        return f"[{', '.join(cells)}]"
    if isinstance(value, Mapping):
        return _entries(value)
    return str(value)


VERDICTS = {"compute": "computed", "reuse": "reused", "open": "decided by measuring"}


RUNS = 3
"""Runs of steps that are told one by one; where more change, all steps are shown."""


def _of_tables(old: tuple[StepEntry, ...], new: tuple[StepEntry, ...]) -> Iterator[Change]:
    """Yield the runs of steps whose verdict changes; a change of the reason alone is said by what caused it."""
    pairs = list(enumerate(zip(old, new, strict=True)))
    runs = [(verdicts, list(run)) for verdicts, run in groupby(pairs, key=lambda one: [e.verdict for e in one[1]])]
    changed = [(verdicts, run) for verdicts, run in runs if verdicts[0] != verdicts[1]]
    if len(changed) > RUNS:
        yield _change("steps", ("steps",), table_bits(old), table_bits(new))
        return
    for verdicts, run in changed:
        first, last = run[0][0], run[-1][0]
        words = [_verdict(verdict, [pair[side] for _, pair in run]) for side, verdict in enumerate(verdicts)]
        yield _change(
            "steps", ("steps",), words[0], words[1], f"step {first}" if first == last else f"steps {first}-{last}"
        )


def _verdict(verdict: str, entries: list[StepEntry]) -> str:
    reasons = ", ".join(dict.fromkeys(entry.reason for entry in entries if entry.reason))
    return f"{VERDICTS[verdict]} ({reasons})" if reasons else VERDICTS[verdict]
