"""A plan is data: what is read from its JSON is the plan, and drives the machine without the language."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl import PolicyError, bundled_policies, compile_policy, load_policy
from cachedsl.explain.words import explain
from cachedsl.language.policy import Policy
from cachedsl.machine.simulate import simulate
from cachedsl.matching.reading import find_adapter
from cachedsl.plan.codec import PlanError
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.strategies import policies

SHAPE = ModelShape([StackShape("double", 19, modulated=True), StackShape("single", 38, modulated=True)], "model")


@settings(max_examples=25, deadline=None)
@given(policies(), st.none() | st.integers(1, 30))
def test_a_plan_read_from_its_json_is_the_plan(policy: Policy, steps: int | None) -> None:
    try:
        plan = compile_policy(policy, SHAPE, steps)
    except PolicyError:
        return
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert hash(again) == hash(plan)
    assert again.to_json() == plan.to_json()
    assert (again.to_text(), explain(again), again.to_mermaid()) == (plan.to_text(), explain(plan), plan.to_mermaid())


@pytest.mark.parametrize("name", ["f8b8-taylor", "teacache-flux", "magcache-flux", "dbprune-dynamic", "repay-medium"])
def test_what_is_made_of_a_loaded_plan_is_what_is_made_of_the_plan(name: str) -> None:
    plan = compile_policy(load_policy(name), find_adapter("flux").shape(), 28)
    again = Plan.from_json(plan.to_json())
    shapes = {"hidden": (1, 64, 8), "encoder": (1, 8, 8), "latent": (1, 64, 4), "modulated": (1, 64, 8)}
    assert again.memory(shapes) == plan.memory(shapes)
    assert again.cost() == plan.cost()


DRIVE = """
import json, sys
from cachedsl.plan.ir import Plan
from cachedsl.machine.simulate import simulate
plan = Plan.from_json(open(sys.argv[1]).read())
value = lambda step, unit: ((step * 7 + unit * 3) % 11) / 40
print(json.dumps([[(o.verdict, o.reason) for o in simulate(stack, value, 28)] for stack in plan.stacks]))
banned = [m for m in sys.modules if m == "yaml" or m.startswith(("cachedsl.language", "cachedsl.rules", "torch"))]
assert not banned, banned
"""


@pytest.mark.parametrize("name", bundled_policies())
def test_a_loaded_plan_drives_the_machine_where_the_language_is_never_imported(name: str, tmp_path: Path) -> None:
    plan = compile_policy(load_policy(name), find_adapter("flux").shape(), 28)
    file = tmp_path / "plan.json"
    file.write_text(plan.to_json())
    said = subprocess.run([sys.executable, "-c", DRIVE, str(file)], check=True, capture_output=True, text=True).stdout

    def value(step: int, unit: int) -> float:
        return ((step * 7 + unit * 3) % 11) / 40

    expected = [[[o.verdict, o.reason] for o in simulate(stack, value, 28)] for stack in plan.stacks]
    assert json.loads(said) == expected


def changed(**changes: Any) -> str:
    tree = json.loads(compile_policy(load_policy("f8b0"), SHAPE, 10).to_json())
    for path, value in changes.items():
        *outer, last = path.split("__")
        holder: Any = tree
        for step in outer:
            holder = holder[int(step)] if step.isdigit() else holder[step]
        if value is None:
            del holder[last]
        else:
            holder[last] = value
    return json.dumps(tree)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "expected format 'cachedsl.plan', got 'list'"),
        ('{"version": 1}', "expected format 'cachedsl.plan', got None"),
        (changed(version=2), "a plan of version 2, but this cachedsl reads version 1"),
        (changed(model=3), "invalid value for type, expected str @ plan.model"),
        (changed(num_inference_steps=True), "num_inference_steps"),
        (changed(extra=1), "extra"),
        (changed(rules__0__threshold="sometimes"), "threshold"),
        (changed(rules__0__warmup=2.5), "expected int @ plan.rules[0].warmup"),
        (changed(rules__0__predict__streams="hidden"), "streams"),
        (changed(stacks__0__rules=7), "there are no rules 7"),
        (changed(stacks__0__units=[[3, 99, "middle"]]), "unit 0 from 3 to 99 is not in its 19 blocks"),
        (changed(stacks__0__units=[[3, 9, "centre"]]), "centre"),
        (changed(stacks__0__mask="10x"), "other characters than 0 and 1"),
        (changed(stacks=None), "stacks"),
    ],
)
def test_what_is_no_plan_is_refused_in_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        Plan.from_json(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_governs_several_stacks_is_written_once() -> None:
    tree = json.loads(compile_policy(load_policy("f8b0"), SHAPE, 10).to_json())
    assert (tree["format"], tree["version"]) == ("cachedsl.plan", 1)
    assert len(tree["rules"]) == 1
    assert [stack["rules"] for stack in tree["stacks"]] == [0, 0]
