"""Stacks of several units: each decides for itself on an open step, and the step is one."""

from __future__ import annotations

import math
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from cachedsl.language.parts import Accumulated, Compute, Dynamic, Prune, Refresh, Reuse, Warmup
from cachedsl.language.policy import Policy, StackPolicy
from cachedsl.lower.compile import compile_policy
from cachedsl.lower.stacks import rules_of
from cachedsl.machine.events import (
    ComputeUnit,
    DropHistory,
    Event,
    Failed,
    Measure,
    Observe,
    ReuseUnit,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    StoreAnchor,
    UnitDone,
    UnitMeasured,
    UnitReached,
)
from cachedsl.machine.simulate import simulate
from cachedsl.machine.snapshot import Phase, Snapshot, initial
from cachedsl.machine.table import step_table
from cachedsl.machine.transition import InvalidTransition, transition
from cachedsl.plan.ir import StackPlan, Unit
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.machine import strategies as own
from tests.machine.reach import Reach
from tests.machine.reference import interpret_units

KINDS = ["middle", "pruned", "back"]
dynamics = st.builds(Dynamic, st.sampled_from([0.5, 1.0, 1.25, 2.0]), st.sampled_from([None, 0.5]))


def with_units(plan: StackPlan, kinds: list[str]) -> StackPlan:
    units = [Unit(i, 1 + i, 2 + i, kind) for i, kind in enumerate(kinds)]  # type: ignore[arg-type]
    return evolve(plan, shape=StackShape("blocks", len(kinds) + 1), front=1, back=0, units=units)


def plan_of(units: int = 1, **settings: Any) -> StackPlan:
    policy = StackPolicy(**{"compute": Compute(1, 0), "warmup": Warmup(1), **settings})
    return with_units(StackPlan(StackShape("blocks", 2), rules_of(policy, None), 1, 0, []), ["pruned"] * units)


def feed(plan: StackPlan, state: Snapshot, *events: Event) -> tuple[Snapshot, tuple[Any, ...]]:
    actions: tuple[Any, ...] = ()
    for event in events:
        state, asked = transition(plan, state, event)
        actions += asked
    return state, actions


def computed_once(plan: StackPlan, steps: int | None = 9) -> Snapshot:
    """A machine that has ended step 0, all units computed."""
    events: list[Event] = [RunStarted(steps), StepStarted(0)]
    for unit in plan.units:
        events += [UnitReached(unit.index), UnitDone(unit.index)]
    return feed(plan, initial(plan), *events, StepEnded())[0]


GRID = [0.0, 0.125, 0.25, 0.5, 1.0]
"""Numbers that binary fractions hold exactly, so that sums and means of them come to stand right on a bound."""


@st.composite
def runs(draw: st.DrawFn) -> tuple[Any, ...]:
    """A run of a machine of several units, all that happens in it, and the policy; half of them measure much."""
    measuring = draw(st.booleans())
    plan, steps, policy = draw(own.plans(max_steps=10))
    least, kinds = 1, KINDS
    if measuring:  # few guards in the way of measuring, so that sums and limits come to bear
        reset = draw(st.sampled_from(["on_compute", "never"]))
        bound = draw(st.sampled_from([None, Accumulated(0.5, reset), Accumulated(2, reset)]))
        limits = Reuse(0.25, policy.reuse.signal, max_accumulated=bound)
        policy = evolve(policy, reuse=limits, warmup=Warmup(1), tail=0, steps=None, refresh=None)
        plan = compile_policy(policy, ModelShape([StackShape("blocks", own.BLOCKS)]), steps).stacks[0]
        least, kinds = draw(st.sampled_from([1, 7, 7])), ["pruned"] * 6 + ["back", "middle"]
    kinds = draw(
        st.lists(st.sampled_from(kinds), min_size=least, max_size=7).filter(lambda found: set(found) != {"back"})
    )
    indices = sorted(draw(st.sets(st.integers(0, steps), min_size=1, max_size=steps)))

    def per_unit(element: st.SearchStrategy[Any]) -> Any:
        units = st.lists(element, min_size=len(kinds), max_size=len(kinds))
        return draw(st.lists(units, min_size=len(indices), max_size=len(indices)))

    values = per_unit(st.sampled_from(GRID) if measuring else own.values)
    shapes = per_unit(st.sampled_from([False] * (60 if measuring else 7) + [True]))
    reached = per_unit(st.sampled_from([True] * (60 if measuring else 9) + [False]))
    leaders = draw(
        st.lists(
            st.sampled_from([None] * (20 if measuring else 2) + ["compute", "reuse"]),
            min_size=len(indices),
            max_size=len(indices),
        )
    )
    prune = draw((st.nothing() if least > 1 else st.none()) | st.builds(Prune, dynamic=st.none() | dynamics))
    policy = evolve(policy, prune=prune, compute=evolve(policy.compute, back_blocks=(), back_threshold=0.25))
    plan = evolve(plan, rules=rules_of(policy.under(()), steps))
    return with_units(plan, kinds), steps, policy, kinds, values, shapes, reached, leaders, indices


def test_the_machine_agrees_with_the_reference_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the examples reach every guard and both sides of every number in one, or they would say little."""
    reach = Reach()
    monkeypatch.setattr("cachedsl.machine.transition.first", reach.first)
    for number in range(5):  # what the first draws miss, others find
        drawn = settings(max_examples=600, derandomize=False, deadline=None, database=None)(given(runs())(agrees))
        seed(number)(drawn)()
        if not reach.missing():
            break
    assert reach.missing() == set()


def agrees(run: Any) -> None:
    plan, steps, policy, kinds, values, shapes, reached, leaders, indices = run
    state, _ = transition(plan, initial(plan), RunStarted(steps))
    held: dict[int, int] = {}  # what the executor would hold: the step of each unit's newest anchor
    decisions = []
    for index, value, shape, reach, leader in zip(indices, values, shapes, reached, leaders, strict=True):
        state, actions = transition(plan, state, StepStarted(index, leader))
        if DropHistory() in actions:
            held.clear()
        decided: list[tuple[str, str] | None] = []
        for unit in range(len(kinds)):
            if not reach[unit]:
                decided.append(None)
                continue
            state, actions = transition(plan, state, UnitReached(unit, shape[unit] and unit in held))
            if DropHistory() in actions:
                held.clear()
            if Measure(unit) in actions:
                assert unit in held, "measured against nothing"
                state, actions = transition(plan, state, UnitMeasured(unit, value[unit]))
            answer = next(a for a in actions if isinstance(a, (ComputeUnit, ReuseUnit)))
            reused = isinstance(answer, ReuseUnit)
            assert not reused or held[unit] < index, "an anchor is older than the step that uses it"
            decided.append(("reuse" if reused else "compute", answer.reason))
            state, stored = transition(plan, state, UnitDone(unit))
            assert stored == (() if reused else (StoreAnchor(unit),))
            if not reused:
                held[unit] = index
        state, _ = transition(plan, state, StepEnded())
        assert {u for u, count in enumerate(state.anchors) if count} == set(held)
        reuse: Reuse = policy.reuse
        assert reuse.max_total is None or state.reused_total <= reuse.max_total
        assert reuse.max_continuous is None or state.reused_run <= reuse.max_continuous
        decisions.append(decided)
    assert decisions == interpret_units(policy, steps, kinds, values, shapes, reached, leaders, indices)


@settings(max_examples=300)
@given(runs())
def test_the_table_agrees_with_the_machine(run: Any) -> None:  # invariant 10, several units
    plan, steps, policy, kinds, values, *_ = run
    every = [values[i % len(values)] for i in range(steps)]
    full = [[True] * len(kinds)] * steps
    still = [[False] * len(kinds)] * steps
    decisions = interpret_units(policy, steps, kinds, every, still, full, [None] * steps, range(steps))
    for entry, decided in zip(step_table(plan, steps), decisions, strict=True):
        if entry.verdict != "open":
            own_steps = {d for kind, d in zip(kinds, decided, strict=True) if kind != "back"}
            assert own_steps == {(entry.verdict, entry.reason)}


def test_a_shape_that_changes_drops_the_history_of_all_units() -> None:
    plan = plan_of(3, reuse=Reuse(threshold="always"))
    state = feed(plan, computed_once(plan), StepStarted(1), UnitReached(0), UnitDone(0))[0]
    assert state.verdict == "reuse"
    state, actions = feed(plan, state, UnitReached(1, shape_changed=True), UnitDone(1))
    assert actions == (DropHistory(), ComputeUnit(1, "shape_changed"), StoreAnchor(1))
    assert state.anchors == (0, 1, 0)
    state, actions = feed(plan, state, UnitReached(2), UnitDone(2), StepEnded())
    assert actions == (ComputeUnit(2, "no_history"), StoreAnchor(2))
    assert (state.reused_total, state.reused_run) == (1, 1)  # unit 0 was reused before the change was seen
    assert feed(plan, state, StepStarted(2))[0].reason == "no_history"


def test_on_a_computed_step_a_change_of_shape_keeps_the_steps_reason() -> None:
    plan = plan_of(reuse=Reuse(threshold=0.0))
    state = feed(plan, computed_once(plan), StepStarted(1))[0]
    _, actions = transition(plan, state, UnitReached(0, shape_changed=True))
    assert actions == (DropHistory(), ComputeUnit(0, "exact"))


def test_a_step_whose_units_were_all_left_out_is_legal_and_counts_as_computed() -> None:
    plan = plan_of(reuse=Reuse(threshold="always", max_continuous=1))
    state = feed(plan, computed_once(plan), StepStarted(1), UnitReached(0), UnitDone(0), StepEnded())[0]
    assert state.reused_run == 1
    state, actions = feed(plan, state, StepStarted(2), StepEnded())
    assert actions == ()
    assert (state.phase, state.reused_run, state.reused_total, state.anchors) == (Phase.IDLE, 0, 1, (1,))


def test_a_back_unit_counts_in_no_limit() -> None:
    settings = {"reuse": Reuse(threshold=0.1), "compute": Compute(1, 1, (), 0.2)}
    plan = with_units(plan_of(**settings), ["middle", "back", "back"])
    state = feed(plan, computed_once(plan), StepStarted(1), UnitReached(0), UnitMeasured(0, 0.5), UnitDone(0))[0]
    state, actions = feed(plan, state, UnitReached(1), UnitDone(1), UnitReached(2), UnitDone(2), StepEnded())
    assert [a.reason for a in actions if isinstance(a, ComputeUnit)] == ["computed", "computed"]
    assert (state.reused_total, state.reused_run) == (0, 0)
    state = feed(plan, state, StepStarted(2), UnitReached(0), UnitMeasured(0, 0.05), UnitDone(0))[0]
    events = [UnitReached(1), UnitMeasured(1, 0.2), UnitDone(1), UnitReached(2), UnitMeasured(2, 0.1), UnitDone(2)]
    state, actions = feed(plan, state, *events, StepEnded())
    assert [a for a in actions if isinstance(a, (ComputeUnit, ReuseUnit))] == [
        ComputeUnit(1, "back_above"),
        ReuseUnit(2, "back_below"),
    ]
    assert (state.reused_total, state.reused_run, state.accumulated) == (1, 1, 0.05)


def test_simulate_takes_every_unit_and_counts_as_the_machine_does() -> None:
    settings = {"reuse": Reuse(threshold=0.5), "compute": Compute(1, 1, (), 0.5)}
    plan = with_units(plan_of(**settings), ["pruned", "pruned", "back"])
    values = {1: (0.0, 1.0, 1.0), 2: (1.0, 1.0, 0.0)}
    first, second, third = simulate(plan, lambda step, unit: values[step][unit], 3)
    assert (first.verdict, first.reason) == ("compute", "no_history")
    assert (second.verdict, second.reason) == ("reuse", "below")
    assert [u.verdict for u in second.units] == ["reuse", "compute", "compute"]
    assert (third.verdict, third.reason) == ("compute", "above")
    assert [(u.verdict, u.value) for u in third.units] == [("compute", 1.0), ("compute", 1.0), ("compute", None)]


def test_values_add_up_over_the_units_of_a_step() -> None:
    limit = Accumulated(0.25)
    plan = plan_of(2, reuse=Reuse(threshold=0.2, max_accumulated=limit))
    step = [UnitReached(0), UnitMeasured(0, 0.125), UnitDone(0), UnitReached(1), UnitMeasured(1, 0.125), UnitDone(1)]
    state, actions = feed(plan, computed_once(plan), StepStarted(1), *step, StepEnded())
    assert [a.reason for a in actions if isinstance(a, ReuseUnit)] == ["below", "below"]
    assert state.accumulated == 0.25
    assert feed(plan, state, StepStarted(2))[0].reason == "max_accumulated"


def test_masks_and_tail_go_by_the_runs_index_warmup_and_refresh_by_the_machines_own() -> None:
    """The second of two transformers takes over at step 5 of 10 and counts its own steps from there."""
    plan = plan_of(reuse=Reuse(threshold="always"), warmup=Warmup(2), tail=1, refresh=Refresh(3))
    state = feed(plan, initial(plan), RunStarted(10))[0]
    reasons = []
    for index in range(5, 10):
        state, _ = feed(plan, state, StepStarted(index))
        reasons.append(state.reason)
        state, _ = feed(plan, state, UnitReached(0), UnitDone(0), StepEnded())
    assert reasons == ["no_history", "warmup", "static", "refresh", "warmup"]
    state = feed(plan, computed_once(plan, 10), StepStarted(9))[0]
    assert feed(evolve(plan, rules=evolve(plan.rules, warmup=0)), state)[0].reason == "warmup"
    calm = evolve(plan, rules=evolve(plan.rules, warmup=0))
    assert feed(calm, computed_once(calm, 10), StepStarted(9))[0].reason == "tail"


def test_steps_beyond_the_announced_count_are_computed() -> None:
    """A pipeline may call its transformer once more after the last step, to fill a key-value cache."""
    for settings_, mask in (({"tail": 1}, None), ({}, "100"), ({}, None)):
        plan = evolve(plan_of(reuse=Reuse(threshold="always"), warmup=Warmup(0), **settings_), mask=mask)
        state = feed(plan, computed_once(plan, 3), StepStarted(7))[0]
        assert (state.verdict, state.reason) == ("compute", "past_end")


def test_without_a_step_count_a_machine_runs_all_the_same() -> None:
    plan = plan_of(reuse=Reuse(threshold=0.1))
    state = feed(plan, computed_once(plan, None), StepStarted(1), UnitReached(0))[0]
    assert state.phase is Phase.MEASURING


def test_a_signal_with_a_previous_step_is_observed_on_every_step() -> None:
    last_computed = plan_of(reuse=Reuse(threshold=0.1))
    assert feed(last_computed, initial(last_computed), RunStarted(3), StepStarted(0))[1] == ()
    plan = plan_of(reuse=Reuse(threshold=0.1, signal="probe"), refresh=Refresh(2))
    state, actions = feed(plan, computed_once(plan), StepStarted(1))
    assert actions == (Observe("probe"),)
    _, actions = feed(plan, state, StepEnded(), StepStarted(2))
    assert actions == (DropHistory(), Observe("probe")), "what is kept belongs to the new history"
    static = plan_of(reuse=Reuse(threshold="always", signal="probe"))
    assert feed(static, computed_once(static), StepStarted(1))[1] == ()


EVENTS: list[Event] = [
    RunStarted(3),
    StepStarted(2),
    UnitReached(0),
    UnitMeasured(0, 0.0),
    UnitDone(0),
    StepEnded(),
    RunEnded(),
]
LEGAL = {
    "ended": {RunStarted},
    "idle": {StepStarted, RunEnded},
    "stepping": {UnitReached, StepEnded},
    "inside": {UnitDone},
    "measuring": {UnitMeasured},
    "after": {StepEnded},
}


@pytest.mark.parametrize("place", LEGAL)
def test_what_has_no_place_is_refused_and_a_failure_is_legal_everywhere(place: str) -> None:
    plan = plan_of(reuse=Reuse(threshold=0.1))
    idle = computed_once(plan)
    stepping, _ = feed(plan, idle, StepStarted(1))
    measuring, _ = feed(plan, stepping, UnitReached(0))
    inside, _ = feed(plan, measuring, UnitMeasured(0, 0.5))
    after, _ = feed(plan, inside, UnitDone(0))
    states = {
        "ended": initial(plan), "idle": idle, "stepping": stepping, "inside": inside, "measuring": measuring,
        "after": after,
    }  # fmt: skip
    for event in EVENTS:
        if type(event) in LEGAL[place]:
            transition(plan, states[place], event)
        else:
            with pytest.raises(InvalidTransition, match=r"transformer\.blocks: "):
                transition(plan, states[place], event)
    assert transition(plan, states[place], Failed("boom")) == (initial(plan), (DropHistory(),))


def test_units_and_steps_that_are_not_there_are_refused() -> None:
    plan = plan_of(2, reuse=Reuse(threshold=0.1))
    idle = computed_once(plan)
    stepping, _ = feed(plan, idle, StepStarted(1))
    measuring, _ = feed(plan, stepping, UnitReached(0))
    for state, event, message in (
        (stepping, UnitReached(2), "there is no unit 2, it has 2"),
        (stepping, UnitReached(-1), "there is no unit -1, it has 2"),
        (measuring, UnitMeasured(1, 0.0), "unit 1 was measured, not 0"),
        (feed(plan, measuring, UnitMeasured(0, 0.0))[0], UnitDone(1), "unit 1 is done, but 0 is in progress"),
        (feed(plan, measuring, UnitMeasured(0, 0.0))[0], UnitReached(1), "reached twice, or inside another"),
        (idle, StepStarted(0), "step 0 came after step 0"),
    ):
        with pytest.raises(InvalidTransition, match=message):
            transition(plan, state, event)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_computes_and_adds_nothing(value: float) -> None:
    plan = plan_of(reuse=Reuse(threshold=5.0, max_accumulated=Accumulated(9.0, "never")))
    state = feed(plan, computed_once(plan), StepStarted(1), UnitReached(0), UnitMeasured(0, 1.0), UnitDone(0))[0]
    state, actions = feed(plan, state, StepEnded(), StepStarted(2), UnitReached(0), UnitMeasured(0, value))
    assert actions == (Measure(0), ComputeUnit(0, "not_finite"))
    assert state.accumulated == 1.0


def test_the_end_of_a_run_leaves_nothing() -> None:
    plan = plan_of(reuse=Reuse(threshold="always"))
    state = feed(plan, computed_once(plan), StepStarted(1), UnitReached(0), UnitDone(0), StepEnded())[0]
    assert transition(plan, state, RunEnded()) == (initial(plan), (DropHistory(),))


def test_a_refresh_zeroes_every_counter() -> None:
    plan = plan_of(reuse=Reuse(threshold=0.5, max_accumulated=Accumulated(9.0, "never")), refresh=Refresh(2))
    state = feed(plan, computed_once(plan), StepStarted(1), UnitReached(0), UnitMeasured(0, 0.25), UnitDone(0))[0]
    state = feed(plan, state, StepEnded())[0]
    assert (state.reused_total, state.reused_run, state.accumulated, state.since_refresh) == (1, 1, 0.25, 2)
    state, actions = feed(plan, state, StepStarted(2))
    assert actions == (DropHistory(),)
    assert (state.reused_total, state.reused_run, state.accumulated, state.since_refresh) == (0, 0, 0.0, 0)
    assert state.anchors == (0,)


def test_a_shape_that_changes_zeroes_the_sum() -> None:
    plan = plan_of(reuse=Reuse(threshold=0.5, max_accumulated=Accumulated(9.0, "never")))
    state = feed(plan, computed_once(plan), StepStarted(1), UnitReached(0), UnitMeasured(0, 0.25), UnitDone(0))[0]
    state = feed(plan, state, StepEnded(), StepStarted(2), UnitReached(0, shape_changed=True))[0]
    assert state.accumulated == 0.0


def test_a_value_at_the_threshold_computes() -> None:
    plan = plan_of(reuse=Reuse(threshold=0.5))
    _, actions = feed(plan, computed_once(plan), StepStarted(1), UnitReached(0), UnitMeasured(0, 0.5))
    assert actions[-1] == ComputeUnit(0, "above")


def test_a_static_follower_does_not_ask_its_leader() -> None:
    static = plan_of(reuse=Reuse(threshold="always"))
    assert feed(static, computed_once(static), StepStarted(1, "compute"))[0].reason == "static"
    measured = plan_of(reuse=Reuse(threshold=0.1))
    followed = feed(measured, computed_once(measured), StepStarted(1, "reuse"))[0]
    assert (followed.verdict, followed.reason) == ("reuse", "followed")
    assert Policy().cfg.decision == "per_branch"


def test_a_unit_that_the_loop_leaves_out_keeps_no_other_from_reuse() -> None:
    plan = plan_of(2, reuse=Reuse("always"))
    state, _ = feed(plan, initial(plan), RunStarted(9), StepStarted(0), UnitReached(1), UnitDone(1), StepEnded())
    state, actions = feed(plan, state, StepStarted(1), UnitReached(1))
    assert actions == (ReuseUnit(1, "static"),)
    state, _ = feed(plan, state, UnitDone(1), StepEnded(), StepStarted(2))
    assert feed(plan, state, UnitReached(0))[1] == (ComputeUnit(0, "no_history"),)  # the loop calls it after all


def test_a_step_that_reached_no_unit_leaves_no_history() -> None:
    plan = plan_of(2, reuse=Reuse("always"))
    state, _ = feed(plan, initial(plan), RunStarted(9), StepStarted(0), StepEnded(), StepStarted(1))
    assert (state.verdict, state.reason) == ("compute", "no_history")
