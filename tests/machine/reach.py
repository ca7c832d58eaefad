"""What the examples of a test reach: every guard, fired and not, and both sides of every number in one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cachedsl.machine import guards
from cachedsl.machine.guards import ADAPT_TO, GUARDS, Guard, Moment, warmup_length


class Reach:
    """Records guards as `first` asks them; `missing` says what no example reached."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def first(self, listed: tuple[Guard, ...], moment: Moment) -> Guard | None:
        """Return the first guard that fires, as `guards.first` does, and note what was asked."""
        stage = next(name for name, own in GUARDS.items() if own is listed)
        self.seen |= set(sides(stage, moment))
        for number, guard in enumerate(listed):
            fired = guard.fires(moment)
            self.seen.add(f"{stage} {number} {guard.reason} {fired}")
            if fired:
                return guard
        return None

    def missing(self) -> set[str]:
        """Return what was never reached; the last guard over a value always fires."""
        wanted = {
            f"{stage} {number} {guard.reason} {fired}"
            for stage, listed in GUARDS.items()
            for number, guard in enumerate(listed)
            for fired in (True, False)
        }
        always = f"value {len(guards.VALUE) - 1} above False"
        return (wanted - {always} | SIDES) - self.seen


def around(name: str, value: float, number: float) -> Iterator[str]:
    """Yield on which side of a number a value is, where it is next to it or on it."""
    if value == number:
        yield f"{name} on"
    elif value == number - 1:
        yield f"{name} before"


def sides(stage: str, m: Moment) -> Iterator[str]:
    """Yield which numbers of the guards a moment stands beside."""
    rules, state = m.plan.rules, m.state
    if stage == "step":
        if warmup_length(m.plan) and rules.warmup_interval == 1:
            yield from around("warmup", state.since_refresh, warmup_length(m.plan))
        if rules.warmup_interval > 1 and state.since_refresh < warmup_length(m.plan):
            yield f"interval {state.since_refresh % rules.warmup_interval == 0}"
        if rules.tail and state.num_steps is not None:
            yield from around("tail", m.at, state.num_steps - rules.tail)
        if state.num_steps is not None:
            yield from around("past_end", m.at, state.num_steps)
        if rules.refresh is not None:
            yield from around("refresh", state.step_index, rules.refresh)
            if state.step_index == 2 * rules.refresh:
                yield f"refresh again {m.refreshed}"
        for name in ("max_total", "max_continuous"):
            limit = getattr(rules, name)
            if limit:
                yield from around(name, state.reused_total if name == "max_total" else state.reused_run, limit)
        if rules.max_accumulated and state.accumulated:
            yield f"max_accumulated {_side(state.accumulated, rules.max_accumulated)}"
        if m.plan.anchors_needed == 2 and state.anchors:
            yield from around("anchors", min(state.anchors), 2)
    elif stage == "value" and math.isfinite(m.value):
        kind = "back" if m.is_back else "middle"
        yield f"{kind} threshold {_side(m.compared, m.threshold)}"
        if rules.prune is not None and rules.prune.relax is not None and not m.is_back:
            yield from adapted(m)


def adapted(m: Moment) -> Iterator[str]:
    """Yield where an adapted threshold lies, and how many values it goes by."""
    rules, measured = m.plan.rules, m.state.measured
    prune, threshold = rules.prune, rules.threshold
    assert prune is not None
    assert prune.relax is not None
    assert threshold != "always"
    positive = [value for value in measured if value > 0]
    yield f"values {min(len(measured), ADAPT_TO)}"
    yield f"positive {'none' if not positive else 'all' if len(positive) == len(measured) else 'some'}"
    if positive:
        relaxed = prune.relax * sum(positive) / len(positive)
        yield f"relaxed over threshold {_side(relaxed, threshold)}"
        bound = 2 * threshold if prune.max is None else prune.max
        yield f"relaxed under {'twice' if prune.max is None else 'max'} {_side(relaxed, bound)}"


def _side(value: float, number: float) -> str:
    return "below" if value < number else "on" if value == number else "above"


SIDES = {
    *(f"{name} {side}" for name in ("warmup", "tail", "past_end", "refresh", "max_total", "max_continuous", "anchors")
      for side in ("before", "on")),
    *(f"interval {yes}" for yes in (True, False)),
    *(f"refresh again {yes}" for yes in (True, False)),
    *(f"max_accumulated {side}" for side in ("below", "on", "above")),
    *(f"{kind} threshold {side}" for kind in ("middle", "back") for side in ("below", "on", "above")),
    *(f"values {count}" for count in range(ADAPT_TO + 1)),
    *(f"positive {which}" for which in ("none", "some", "all")),
    *(f"relaxed over threshold {side}" for side in ("below", "on", "above")),
    *(f"relaxed under {bound} {side}" for bound in ("twice", "max") for side in ("below", "on", "above")),
}  # fmt: skip
