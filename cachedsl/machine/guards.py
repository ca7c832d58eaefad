"""The guards: one ordered list, each a reason, when it fires and its words. The first that fires decides.

The transition walks it; the step table, explanations, the state diagram and the tables of docs/machine.md are made from
it. A new guard is one entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from attrs import frozen

from cachedsl.machine.snapshot import Snapshot, has_reused
from cachedsl.plan.ir import StackPlan

Decides = Literal["compute", "reuse", "as the step", "as the first branch"]
Stage = Literal["step", "unit", "value"]


class Moment(NamedTuple):
    """What a guard goes by.

    Attributes:
        plan: the stack's plan.
        state: the machine, the step in progress begun.
        at: the run's index of the step.
        refreshed: whether history was dropped before this step.
        leader: what became of the step's first branch, where this one follows it.
        unit: the unit that was reached.
        shape_changed: whether a stream enters it with another shape than its anchor's.
        value: what was measured; NaN before.
    """

    plan: StackPlan
    state: Snapshot
    at: int = 0
    refreshed: bool = False
    leader: Literal["compute", "reuse"] | None = None
    unit: int = 0
    shape_changed: bool = False
    value: float = math.nan

    @property
    def is_back(self) -> bool:
        """Whether the unit is a back block that decides for itself."""
        return self.plan.units[self.unit].kind == "back"

    @property
    def compared(self) -> float:
        """What is held against the threshold: the value, or the sum that it goes into."""
        signal = self.plan.signal
        sums = not self.is_back and signal is not None and signal.accumulate != "none"
        return self.state.drift + self.value if sums else self.value

    @property
    def threshold(self) -> float:
        """What it is held against."""
        if self.is_back:
            assert self.plan.rules.back_threshold is not None, "a back unit has a threshold"
            return self.plan.rules.back_threshold
        return unit_threshold(self.plan, self.state.measured)


@frozen
class Guard:
    """One guard.

    Attributes:
        reason: of the verdict; empty where the step's own reason stands.
        verdict: what it decides.
        when: in words, for the specification.
        fires: whether it does at this moment.
        label: what of it a plan has, for diagrams; None where the plan cannot fire it.
    """

    reason: str
    verdict: Decides
    when: str
    fires: Callable[[Moment], bool]
    label: Callable[[StackPlan], str | None] = lambda plan: None


ADAPT_TO = 5
"""How many of a step's first values a dynamic threshold goes by."""


def refresh_falls_on(plan: StackPlan, own_index: int) -> bool:
    """Tell whether history is dropped before this machine's own step `own_index`."""
    at = plan.rules.refresh
    if at is None or own_index == 0:
        return False
    return own_index % at == 0 if plan.rules.refresh_repeat else own_index == at


def warmup_length(plan: StackPlan) -> int:
    """Return how many steps warmup spans: with a mask, at most its leading run of ones."""
    steps = plan.rules.warmup
    return steps if plan.mask is None else min(steps, len(plan.mask) - len(plan.mask.lstrip("1")))


def in_warmup(plan: StackPlan, since_refresh: int) -> bool:
    """Tell whether warmup forces the step that is `since_refresh` own steps after the last refresh."""
    return since_refresh < warmup_length(plan) and since_refresh % plan.rules.warmup_interval == 0


def mask_bit(plan: StackPlan, index: int) -> str | None:
    """Return the mask's bit for the run's step `index`, None without a mask; past its end it computes."""
    if plan.mask is None:
        return None
    return plan.mask[index] if index < len(plan.mask) else "1"


def unit_threshold(plan: StackPlan, measured: tuple[float, ...]) -> float:
    """Return the threshold of the next unit, given what was measured before it in the same step.

    With `prune.dynamic` it is `relax` times the mean of the positive ones among the first five values, where that lies
    between the threshold and `max`; else the threshold.
    """
    threshold, prune = plan.rules.threshold, plan.rules.prune
    assert threshold != "always", "an unconditional step measures nothing"
    positive = [value for value in measured if value > 0]
    if prune is None or prune.relax is None or not positive:
        return threshold
    relaxed = prune.relax * sum(positive) / len(positive)
    bound = 2 * threshold if prune.max is None else prune.max
    return relaxed if threshold < relaxed < bound else threshold


def _lacks_history(moment: Moment) -> bool:
    state = moment.state
    expected = [count for unit, count in enumerate(state.anchors) if unit not in state.absent]
    return min(expected) < moment.plan.anchors_needed if expected else bool(state.anchors)


def _in_tail(moment: Moment) -> bool:
    steps, tail = moment.state.num_steps, moment.plan.rules.tail
    return tail > 0 and steps is not None and moment.at >= steps - tail


def _reached(limit: float | None, count: float) -> bool:
    return limit is not None and count >= limit


def _every(plan: StackPlan) -> str | None:
    length, interval = warmup_length(plan), plan.rules.warmup_interval
    return f"warmup {length}{f' every {interval}' if interval > 1 else ''}" if length else None


def _refresh(plan: StackPlan) -> str | None:
    rules = plan.rules
    return None if rules.refresh is None else f"refresh {'every' if rules.refresh_repeat else 'at'} {rules.refresh}"


def _limit(name: str) -> Callable[[StackPlan], str | None]:
    def label(plan: StackPlan) -> str | None:
        limit = getattr(plan.rules, name)
        return None if limit is None else f"{name} {limit}"

    return label


def _sum(plan: StackPlan) -> str | None:
    limit = plan.rules.max_accumulated
    # what back blocks measure does not count; a limit of 0 is reached without a measurement
    return f"max_accumulated {limit:g}" if limit is not None and (plan.signal is not None or not limit) else None


STEP: tuple[Guard, ...] = (
    Guard(
        "exact",
        "compute",
        "`threshold` is 0",
        lambda m: m.plan.rules.exact,
        lambda p: "exact" if p.rules.exact else None,
    ),
    Guard("refresh", "compute", "`refresh` falls on this step; history is dropped", lambda m: m.refreshed, _refresh),
    Guard(
        "no_history",
        "compute",
        "a unit that the last step reached has no anchor, or fewer than its signal needs (two for `transform_rate`)",
        _lacks_history,
        lambda p: "no_history",
    ),
    Guard("warmup", "compute", "the step is in warmup", lambda m: in_warmup(m.plan, m.state.since_refresh), _every),
    Guard(
        "past_end",
        "compute",
        "the step is past the announced end (a call that only fills a cache)",
        lambda m: _reached(m.state.num_steps, m.at),
    ),
    Guard(
        "tail",
        "compute",
        "the step is one of the last `tail`",
        _in_tail,
        lambda p: f"tail {p.rules.tail}" if p.rules.tail else None,
    ),
    Guard(
        "scheduled",
        "compute",
        "the mask's bit is 1",
        lambda m: mask_bit(m.plan, m.at) == "1",
        lambda p: None if p.mask is None else "scheduled",
    ),
    Guard(
        "max_total",
        "compute",
        "`max_total` steps have been reused",
        lambda m: _reached(m.plan.rules.max_total, m.state.reused_total),
        _limit("max_total"),
    ),
    Guard(
        "max_continuous",
        "compute",
        "the last `max_continuous` steps were reused",
        lambda m: _reached(m.plan.rules.max_continuous, m.state.reused_run),
        _limit("max_continuous"),
    ),
    Guard(
        "max_accumulated",
        "compute",
        "the sum of the measured values has reached `max_accumulated`",
        lambda m: _reached(m.plan.rules.max_accumulated, m.state.accumulated),
        _sum,
    ),
    Guard(
        "scheduled",
        "reuse",
        "the mask's bit is 0, and `otherwise: static`",
        lambda m: m.plan.rules.otherwise == "static",
    ),
    Guard("static", "reuse", "`threshold` is `always`", lambda m: m.plan.rules.threshold == "always"),
    Guard(
        "followed",
        "as the first branch",
        "`decision: follow_first`, and this is a later branch of the step",
        lambda m: m.leader is not None,
    ),
)
"""Over a step, when it starts; where none fires it is open."""

UNIT: tuple[Guard, ...] = (
    Guard(
        "shape_changed",
        "compute",
        "a stream has another shape or dtype than the anchor's, on a step that is not computed anyway; "
        "history is dropped",
        lambda m: m.shape_changed and m.state.verdict != "compute",
    ),
    Guard("", "as the step", "the step is computed", lambda m: m.state.verdict == "compute"),
    Guard(
        "computed",
        "compute",
        "the unit is a back block, and nothing was reused in this step",
        lambda m: m.is_back and not has_reused(m.plan, m.state),
    ),
    Guard(
        "no_history",
        "compute",
        "the unit has no anchor (a shape changed earlier in this step)",
        lambda m: not m.state.anchors[m.unit],
    ),
    Guard(
        "",
        "as the step",
        "the step is reused, and the unit is no back block",
        lambda m: m.state.verdict == "reuse" and not m.is_back,
    ),
)
"""Over a unit, when it is reached; where none fires it is measured."""

VALUE: tuple[Guard, ...] = (
    Guard(
        "not_finite",
        "compute",
        "the value is not finite, or its reference has zero norm",
        lambda m: not math.isfinite(m.value),
    ),
    Guard(
        "back_below",
        "reuse",
        "the unit is a back block, and the value is below `back_threshold`",
        lambda m: m.is_back and m.compared < m.threshold,
    ),
    Guard("back_above", "compute", "the unit is a back block, and the value is not below it", lambda m: m.is_back),
    Guard(
        "below",
        "reuse",
        "the value, or the sum that it goes into, is below the threshold",
        lambda m: m.compared < m.threshold,
    ),
    Guard("above", "compute", "otherwise", lambda m: True),
)
"""Over a unit, when it was measured."""

GUARDS: dict[Stage, tuple[Guard, ...]] = {"step": STEP, "unit": UNIT, "value": VALUE}


def first(guards: tuple[Guard, ...], moment: Moment) -> Guard | None:
    """Return the first guard that fires, None where none does."""
    for guard in guards:
        if guard.fires(moment):
            return guard
    return None


def step_labels(plan: StackPlan) -> tuple[str, ...]:
    """Return the step guards that this plan can fire, in the machine's order, as diagrams name them."""
    if plan.rules.exact:
        return ("exact",)
    return tuple(label for guard in STEP if (label := guard.label(plan)) is not None)


def guard_table(stage: Stage, number: int) -> str:
    """Return the guards of a stage as a table of docs/machine.md, numbered from `number`."""
    rows = [
        f"| {number + i} | {guard.when} | {guard.verdict} | {_told(guard)} |" for i, guard in enumerate(GUARDS[stage])
    ]
    return "\n".join(["| # | guard | verdict | reason |", "|---|---|---|---|", *rows]) + "\n"


def _told(guard: Guard) -> str:
    return f"`{guard.reason}`" if guard.reason else "the step's"
