"""Make the vectors: plans, what happens in runs of them, and what the machine answers, as JSON that any engine reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cachedsl import Policy, bundled_policies, compile_policy, load_policy
from cachedsl.loading import parse_policy
from cachedsl.machine.events import (
    Action,
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
from cachedsl.machine.snapshot import Snapshot, initial
from cachedsl.machine.transition import InvalidTransition, transition
from cachedsl.plan.ir import Plan, StackPlan
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.finding import PolicyError
from tests.conformance import draw as drawn

FOLDER = Path(__file__).parents[2] / "docs" / "conformance"
FILE = FOLDER / "vectors.json"
FORMAT, VERSION = "cachedsl.vectors", 1
DRAWN = 88  # policies, a run or two of each
SHAPES = (
    ModelShape([StackShape("blocks", 8)], "one stack"),
    ModelShape([StackShape("blocks", 5), StackShape("single_blocks", 4)], "two stacks"),
)
FLUX = ModelShape([StackShape("transformer_blocks", 19), StackShape("single_transformer_blocks", 38)], "flux")


def number(value: float) -> Any:
    """Write a measured value: JSON has no words for what is not finite."""
    if math.isnan(value):
        return "nan"
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def floating(written: Any) -> float:
    return float(written)


# One machine


class Played:
    """One stack and branch: it takes steps as an engine does, and remembers what an engine would hold."""

    def __init__(self, plan: StackPlan, num_steps: int | None) -> None:
        self.plan = plan
        self.state: Snapshot = initial(plan)
        self.held: set[int] = set()
        self.feed(RunStarted(num_steps))

    def feed(self, event: Event) -> tuple[Action, ...]:
        self.state, actions = transition(self.plan, self.state, event)
        if DropHistory() in actions:
            self.held.clear()
        return actions

    def step(self, index: int, units: list[dict[str, Any]], leader: Any) -> dict[str, Any]:
        """Take a step; a shape that changes where nothing is held is left out of what happens."""
        self.feed(StepStarted(index, leader))
        outcomes = []
        for each in units:
            unit = each["unit"]
            if unit not in self.held:
                each.pop("shape_changed", None)
            actions = self.feed(UnitReached(unit, each.get("shape_changed", False)))
            measured = Measure(unit) in actions
            if measured:
                actions = self.feed(UnitMeasured(unit, floating(each["value"])))
            else:
                each.pop("value", None)  # nobody asked
            answer = next(a for a in actions if isinstance(a, (ComputeUnit, ReuseUnit)))
            verdict = "reuse" if isinstance(answer, ReuseUnit) else "compute"
            outcomes.append([verdict, answer.reason])
            if StoreAnchor(unit) in self.feed(UnitDone(unit)):
                self.held.add(unit)
        reused = any(
            verdict == "reuse" and self.plan.units[each["unit"]].kind != "back"
            for each, (verdict, _) in zip(units, outcomes, strict=True)
        )
        self.feed(StepEnded())
        return {"verdict": "reuse" if reused else "compute", "units": outcomes}


def play(plan: Plan, num_steps: int | None, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answer every call, machines apart by stack and branch; later branches follow where the plan says so."""
    machines: dict[tuple[int, str], Played] = {}
    leaders: dict[tuple[int, int], str] = {}
    follows = plan.cfg.decision == "follow_first"
    for call in calls:
        call["expect"] = []
        for place, (stack, units) in enumerate(zip(plan.stacks, call["stacks"], strict=True)):
            machine = machines.setdefault((place, call["branch"]), Played(stack, num_steps))
            leader = leaders.get((place, call["step"])) if follows else None
            for each in units:
                each["value"] = number(each["value"])
            outcome = machine.step(call["step"], units, leader)
            leaders.setdefault((place, call["step"]), outcome["verdict"])
            call["expect"].append(outcome)
    return calls


# What is drawn


def plans() -> Iterator[tuple[str, Policy, ModelShape, int]]:
    """Yield a name, a policy, a shape and a step count; drawn ones, then every bundled policy on a model of 19+38 blocks."""
    made = 0
    while made < DRAWN:
        draw = drawn.Draw(1000 + made)
        shape = SHAPES[made % len(SHAPES)]
        steps = 4 + draw.below(8)
        for _ in range(50):  # a mask of one policy in some is longer than its run, say
            keys = drawn.policy(draw, made, steps)
            text = yaml.safe_dump(keys, sort_keys=False)
            try:
                policy = parse_policy(text, f"{keys['name']}.yaml")
                compile_policy(policy, shape, steps)
            except PolicyError:
                continue
            yield text, policy, shape, steps
            break
        made += 1
    for name in bundled_policies():
        yield name, load_policy(name), FLUX, 28


def make() -> str:
    """Return the text of the vectors' file."""
    tree: dict[str, Any] = {"format": FORMAT, "version": VERSION, "plan_version": None, "plans": [], "vectors": []}
    for at, (source, policy, shape, steps) in enumerate(plans()):
        plan = compile_policy(policy, shape, steps)
        written = json.loads(plan.to_json())
        tree["plan_version"] = written["version"]
        units = [[[unit.start, unit.stop, unit.kind] for unit in stack.units] for stack in plan.stacks]
        tree["plans"].append({"policy": source, "plan": written, "units": units})
        draw = drawn.Draw(5000 + at)
        branches = draw.one_of((("cond",), ("cond", "uncond"), ("uncond", "cond")))
        counts = tuple(len(stack.units) for stack in plan.stacks)
        measuring = at % 4 in (2, 3)
        for _ in range(2 if shape is not FLUX else 1):
            calls = play(plan, steps, drawn.calls(draw, steps, branches, counts, measuring))
            tree["vectors"].append({"plan": at, "num_inference_steps": steps, "branches": branches, "calls": calls})
    tree["sequences"] = list(sequences())
    return _dump(tree)


def _dump(tree: dict[str, Any]) -> str:
    """Write a plan, a vector or a sequence a line, so that a change is a line in a difference."""
    head = {key: value for key, value in tree.items() if not isinstance(value, list)}
    parts = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key in ("plans", "vectors", "sequences"):
        lines = ",\n  ".join(json.dumps(one, separators=(",", ":"), allow_nan=False) for one in tree[key])
        parts.append(f" {json.dumps(key)}: [\n  {lines}\n ]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


# Event by event: what is asked for, and what has no place

NAMES = {
    RunStarted: "run_started",
    StepStarted: "step_started",
    UnitReached: "unit_reached",
    UnitMeasured: "unit_measured",
    UnitDone: "unit_done",
    StepEnded: "step_ended",
    RunEnded: "run_ended",
    Failed: "failed",
}


def written_event(event: Event) -> dict[str, Any]:
    tree: dict[str, Any] = {"type": NAMES[type(event)]}
    match event:
        case RunStarted(num_steps):
            tree["num_steps"] = num_steps
        case StepStarted(index, leader):
            tree |= {"index": index, "leader": leader}
        case UnitReached(unit, changed):
            tree |= {"unit": unit, "shape_changed": changed}
        case UnitMeasured(unit, value):
            tree |= {"unit": unit, "value": number(value)}
        case UnitDone(unit):
            tree["unit"] = unit
    return tree


def written_action(action: Action) -> list[Any]:
    match action:
        case DropHistory():
            return ["drop"]
        case Observe(signal):
            return ["observe", signal]
        case Measure(unit):
            return ["measure", unit]
        case ComputeUnit(unit, reason):
            return ["compute", unit, reason]
        case ReuseUnit(unit, reason):
            return ["reuse", unit, reason]
        case StoreAnchor(unit):
            return ["store", unit]
    raise AssertionError(action)


SEQUENCED = (
    """\
version: 1
name: pruned
compute: F1B0
warmup: 1
reuse: {threshold: 0.5}
prune: {update_interval: 2}
refresh: {at: 5}
""",
    """\
version: 1
name: observed
compute: {front: 1, back: 2, back_blocks: [], back_threshold: 0.25}
warmup: 1
reuse: {threshold: 0.5, signal: {tap: probe, reference: previous_step}}
refresh: {at: 3, repeat: true}
""",
)
"""Policies whose machines have every action between them: to observe, to measure, to drop, to store on some steps."""


def candidates(draw: drawn.Draw, units: int, step: int) -> list[Event]:
    """Return events that may come next; most have no place."""
    unit = draw.below(units + 1) - draw.below(2)
    return [
        RunStarted(draw.one_of((None, 6))),
        StepStarted(step),
        StepStarted(step + draw.below(2), draw.one_of((None, "compute", "reuse"))),
        UnitReached(unit, draw.chance(0.2)),
        UnitReached(unit),
        UnitMeasured(unit, draw.one_of(drawn.ODD)),
        UnitDone(unit),
        UnitDone(unit),
        StepEnded(),
        RunEnded(),
        Failed("an exception"),
    ]


def sequences() -> Iterator[dict[str, Any]]:
    """Yield random events with what is asked for at each, null where it has no place and changes nothing."""
    shape = ModelShape([StackShape("blocks", 4)], "sequences")
    for seed in range(12):
        draw = drawn.Draw(seed)
        compiled = compile_policy(parse_policy(SEQUENCED[seed % 2], "sequenced.yaml"), shape, 6)
        plan = compiled.stacks[0]
        state, answers = initial(plan), []
        while len(answers) < 120:
            listed = candidates(draw, len(plan.units), max(state.run_index + 1, 0) if draw.chance(0.8) else 0)
            event = draw.one_of(listed)
            try:
                after, actions = transition(plan, state, event)
            except InvalidTransition:
                if draw.chance(0.25):
                    answers.append([written_event(event), None])
                continue
            if isinstance(event, (Failed, RunEnded)) and draw.chance(0.85):
                continue
            state = after
            answers.append([written_event(event), [written_action(action) for action in actions]])
        yield {"plan": json.loads(compiled.to_json()), "stack": 0, "events": answers}
