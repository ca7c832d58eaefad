"""The ten invariants of docs/machine.md, for every policy and every sequence of measurements."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cachedsl.language.parts import Reuse
from cachedsl.language.policy import Policy
from cachedsl.lower.compile import compile_policy
from cachedsl.machine.events import DropHistory, Failed, RunEnded, RunStarted, StepEnded, StepStarted, UnitReached
from cachedsl.machine.simulate import simulate
from cachedsl.machine.snapshot import Phase, initial
from cachedsl.machine.transition import InvalidTransition, transition
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.machine import strategies as own
from tests.machine.drive import Drive
from tests.machine.reference import interpret, mask_bits


@st.composite
def runs(draw: st.DrawFn) -> tuple[Any, ...]:
    plan, steps, policy = draw(own.plans())
    n = draw(st.integers(1, steps))
    values = draw(st.lists(own.values, min_size=n, max_size=n))
    shapes = draw(st.lists(st.sampled_from([False] * 5 + [True]), min_size=n, max_size=n))
    leaders = draw(st.lists(st.sampled_from([None, None, "compute", "reuse"]), min_size=n, max_size=n))
    indices = sorted(draw(st.sets(st.integers(0, steps - 1), min_size=n, max_size=n)))
    return plan, steps, policy, values, shapes, leaders, indices


def drive(plan: Any, steps: int, values: Any, shapes: Any, leaders: Any, indices: Any) -> Drive:
    machine = Drive(plan)
    machine.start(steps)
    for index, value, shape, leader in zip(indices, values, shapes, leaders, strict=True):
        machine.step(index, value, shape_changed=shape, leader=leader)
    return machine


@settings(max_examples=1500)
@given(runs())
def test_the_machine_agrees_with_the_reference_interpreter(run: Any) -> None:
    plan, steps, policy, values, shapes, leaders, indices = run
    machine = drive(plan, steps, values, shapes, leaders, indices)
    assert machine.decisions == interpret(policy, steps, values, shapes, leaders, indices)


@settings(max_examples=300)
@given(runs())
def test_forced_steps_are_always_computed(run: Any) -> None:  # invariant 2
    plan, steps, policy, values, shapes, leaders, indices = run
    decisions = drive(plan, steps, values, shapes, leaders, indices).decisions
    bits = mask_bits(policy, steps)
    since = 0
    for own_index, (index, (verdict, _)) in enumerate(zip(indices, decisions, strict=True)):
        refresh = policy.refresh
        falls = refresh and own_index and (own_index == refresh.at or (refresh.repeat and own_index % refresh.at == 0))
        since = 0 if falls else since
        warm = bits is None and since < policy.warmup.steps and since % policy.warmup.interval == 0
        if own_index == 0 or falls or warm or index >= steps - policy.tail or (bits and bits[index] == 1):
            assert verdict == "compute"
        since += 1


@settings(max_examples=300)
@given(runs())
def test_the_same_events_give_the_same_verdicts(run: Any) -> None:  # invariant 5
    plan, steps, _policy, *inputs = run
    assert drive(plan, steps, *inputs).actions == drive(plan, steps, *inputs).actions


@settings(max_examples=300)
@given(runs())
def test_threshold_zero_computes_every_step(run: Any) -> None:  # invariant 7
    from attrs import evolve

    _, steps, policy, *inputs = run
    exact = evolve(policy, reuse=evolve(policy.reuse, threshold=0.0))
    plan = compile_policy(exact, ModelShape([StackShape("blocks", own.BLOCKS)]), steps).stacks[0]
    assert set(drive(plan, steps, *inputs).decisions) <= {("compute", "exact")}
    assert not plan.measures


@settings(max_examples=400)
@given(own.plans(), st.data())
def test_the_table_agrees_with_the_machine(case: Any, data: Any) -> None:  # invariant 10
    plan, steps, _ = case
    values = data.draw(st.lists(own.values, min_size=steps, max_size=steps))
    machine = drive(plan, steps, values, [False] * steps, [None] * steps, range(steps))
    for entry, (verdict, reason) in zip(plan.table, machine.decisions, strict=True):
        if entry.verdict != "open":
            assert verdict == entry.verdict
            assert reason in entry.reason.split("/")
    measured = any(reason in ("above", "below", "not_finite") for _, reason in machine.decisions)
    assert plan.measures or not measured


@settings(max_examples=200)
@given(own.plans())
def test_a_static_policy_has_no_open_step(case: Any) -> None:
    plan, _, policy = case
    static = policy.reuse.threshold in (0, "always") or (policy.steps and policy.steps.otherwise == "static")
    if static:
        assert all(entry.verdict != "open" for entry in plan.table)


@settings(max_examples=200)
@given(runs(), st.lists(own.values, min_size=14, max_size=14), st.lists(st.booleans(), min_size=28, max_size=28))
def test_branches_do_not_influence_each_other(run: Any, others: Any, order: Any) -> None:  # invariant 4
    plan, steps, _, values, shapes, _, indices = run
    alone = drive(plan, steps, values, shapes, [None] * len(indices), indices).decisions
    first, second = Drive(plan), Drive(plan)
    first.start(steps)
    second.start(steps)
    turns = iter(order)
    waiting = list(zip(indices, others, strict=False))
    for index, value, shape in zip(indices, values, shapes, strict=True):
        while waiting and next(turns, False):
            second.step(*waiting.pop(0))
        first.step(index, value, shape_changed=shape)
    assert first.decisions == alone


@settings(max_examples=200)
@given(own.plans(min_steps=2), st.lists(own.values, min_size=14, max_size=14), st.integers(0, 40))
def test_after_a_failure_the_next_run_is_as_the_first(case: Any, values: Any, cut: int) -> None:  # invariant 9
    plan, steps, _ = case
    fresh = drive(plan, steps, values[:steps], [False] * steps, [None] * steps, range(steps)).decisions
    broken = Drive(plan)
    events = [RunStarted(steps)]
    for i in range(steps):
        events += [StepStarted(i), UnitReached(0)]
    for event in events[:cut]:
        try:
            broken.feed(event)
        except InvalidTransition:
            break
    assert broken.feed(Failed("boom")) == (DropHistory(),)
    assert broken.state == initial(plan)
    broken.start(steps)
    for i in range(steps):
        broken.step(i, values[i])
    assert broken.decisions == fresh


@settings(max_examples=200)
@given(own.plans())
def test_expanding_changes_no_plan(case: Any) -> None:  # invariant 8
    plan, steps, policy = case
    shape = ModelShape([StackShape("blocks", own.BLOCKS)])
    assert compile_policy(policy.expand(), shape, steps).stacks[0] == plan


@settings(max_examples=100)
@given(own.plans(), st.lists(own.values, min_size=14, max_size=14))
def test_simulate_is_the_machine(case: Any, values: Any) -> None:
    plan, steps, _ = case
    machine = drive(plan, steps, values[:steps], [False] * steps, [None] * steps, range(steps))
    outcomes = simulate(plan, lambda step, unit: values[step], steps)
    assert [(o.verdict, o.reason) for o in outcomes] == machine.decisions


class Machines(RuleBasedStateMachine):
    """Two branches of one stack, driven in any order, with failures, refreshes and changing shapes."""

    @initialize(case=own.plans(min_steps=3))
    def begin(self, case: Any) -> None:
        self.plan, self.steps, self.policy = case
        self.machines = {"cond": Drive(self.plan), "uncond": Drive(self.plan)}
        self.index = {"cond": -1, "uncond": -1}
        for machine in self.machines.values():
            machine.start(self.steps)

    @rule(branch=st.sampled_from(["cond", "uncond"]), value=own.values, shape=st.sampled_from([False, False, True]))
    def step(self, branch: str, value: float, shape: bool) -> None:
        if self.index[branch] + 1 >= self.steps:
            self.machines[branch].feed(RunEnded())
            self.machines[branch].start(self.steps)
            self.index[branch] = -1
        self.index[branch] += 1
        other = "uncond" if branch == "cond" else "cond"
        leader = None
        follows = self.policy.cfg.decision == "follow_first"
        if follows and self.index[other] == self.index[branch] and self.machines[other].decisions:
            leader = self.machines[other].decisions[-1][0]
        self.machines[branch].step(self.index[branch], value, shape_changed=shape, leader=leader)

    @rule(branch=st.sampled_from(["cond", "uncond"]))
    def fail(self, branch: str) -> None:
        self.machines[branch].feed(Failed("boom"))
        assert self.machines[branch].state == initial(self.plan)
        self.machines[branch].start(self.steps)
        self.index[branch] = -1

    @precondition(lambda self: hasattr(self, "machines"))
    @rule(branch=st.sampled_from(["cond", "uncond"]))
    def what_does_not_belong_is_refused(self, branch: str) -> None:
        machine = self.machines[branch]
        before = machine.state
        for event in (RunStarted(3), StepEnded(), UnitReached(0)):
            with pytest.raises(InvalidTransition):
                machine.feed(event)
        assert machine.state is before

    @precondition(lambda self: hasattr(self, "machines"))
    @invariant()
    def limits_hold_at_every_instant(self) -> None:  # invariants 1 and 3; Drive checks the anchors' age
        reuse: Reuse = self.policy.reuse
        for machine in self.machines.values():
            state = machine.state
            assert state.phase is Phase.IDLE
            assert reuse.max_total is None or state.reused_total <= reuse.max_total
            assert reuse.max_continuous is None or state.reused_run <= reuse.max_continuous
            assert math.isfinite(state.accumulated)
            tail = [v for v, _ in machine.decisions[::-1]]
            run = next((i for i, v in enumerate(tail) if v == "compute"), len(tail))
            assert reuse.max_continuous is None or run <= reuse.max_continuous


TestMachines = Machines.TestCase
TestMachines.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)


def explore(plan: Any, steps: int) -> tuple[set[Any], dict[Any, set[Any]]]:
    """Reach every snapshot that the executor's events can lead to; return them, and the edges that are no failure."""
    from cachedsl.machine.events import UnitDone, UnitMeasured

    edges: dict[Any, set[Any]] = {}
    todo = [initial(plan)]
    seen = set(todo)
    while todo:
        state = todo.pop()
        events: list[Any] = [Failed("boom")]
        if state.phase is Phase.ENDED:
            events.append(RunStarted(steps))
        elif state.phase is Phase.IDLE:
            events.append(RunEnded())
            if state.run_index + 1 < steps:
                events += [StepStarted(state.run_index + 1, leader) for leader in (None, "compute", "reuse")]
        elif state.phase is Phase.MEASURING:
            events += [UnitMeasured(0, v) for v in (0.0, 0.15, 5.0, math.nan)]
        elif state.unit is not None:
            events.append(UnitDone(0))
        else:
            events.append(StepEnded())
            if not state.reused_units and not state.computed_units:
                events.append(UnitReached(0))
                if state.anchors[0]:
                    events.append(UnitReached(0, True))
        reached = {event: transition(plan, state, event)[0] for event in events}
        edges[state] = {after for event, after in reached.items() if not isinstance(event, Failed)}
        for after in set(reached.values()) - seen:
            seen.add(after)
            todo.append(after)
    return seen, edges


EXHAUSTIVE = [
    Policy(reuse=Reuse(threshold=0.2)),
    Policy(reuse=Reuse(threshold=0.2, max_continuous=1, max_total=2)),
    Policy(reuse=Reuse(threshold="always", max_continuous=2)),
    Policy(reuse=Reuse(threshold=0.0)),
]


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
@pytest.mark.parametrize("number", range(len(EXHAUSTIVE)))
def test_no_phase_is_dead_and_none_is_a_trap(number: int, steps: int) -> None:  # invariant 6
    from attrs import evolve

    from cachedsl.language.parts import Compute, Refresh, Warmup

    policy = evolve(EXHAUSTIVE[number], compute=Compute(1, 0), warmup=Warmup(2), refresh=Refresh(5))
    plan = compile_policy(policy, ModelShape([StackShape("blocks", 3)]), steps).stacks[0]
    seen, edges = explore(plan, steps)
    phases = {state.phase for state in seen}
    expected = set(Phase) if plan.measures and steps > 2 else set(Phase) - {Phase.MEASURING}
    assert phases == expected
    ending = {state for state in seen if state.phase is Phase.ENDED}
    grown = True
    while grown:  # every state reaches Ended, and without a failure
        more = {s for s in seen - ending if edges[s] & ending}
        grown = bool(more)
        ending |= more
    assert ending == seen
    assert all(s.reused_run <= (policy.reuse.max_continuous or 99) for s in seen)
