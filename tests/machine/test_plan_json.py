"""A plan is data: what is read from its JSON is the plan, and drives the machine without the language."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl import PolicyError, bundled_policies, compile_policy, load_policy
from cachedsl.explain.words import explain
from cachedsl.language.policy import Policy
from cachedsl.loading import parse_policy
from cachedsl.machine.simulate import simulate
from cachedsl.matching.reading import find_adapter
from cachedsl.plan.codec import PlanError
from cachedsl.plan.ir import Plan, Unit
from cachedsl.plan.layout import layout_of, layout_tree, read_layout
from cachedsl.plan.merge_patch import patch_between, patched
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.strategies import policies


def trees() -> st.SearchStrategy[dict[str, Any]]:
    """Trees as JSON has them, without nulls and empty mappings."""
    leaves = st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, "a"]) | st.lists(st.integers(0, 1))
    inner = st.recursive(leaves, lambda one: st.dictionaries(st.sampled_from("abc"), one, min_size=1), max_leaves=6)
    return st.dictionaries(st.sampled_from("abc"), inner)


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
        (changed(version=1), "a plan of version 1, but this cachedsl reads version 2"),
        (changed(model=3), "invalid value for type, expected str @ plan.model"),
        (changed(num_inference_steps=True), "num_inference_steps"),
        (changed(extra=1), "extra"),
        (changed(rules__0__threshold="sometimes"), "threshold"),
        (changed(rules__0__warmup=2.5), "expected int @ plan.rules[0].warmup"),
        (changed(rules__0__predict__streams="hidden"), "streams"),
        (changed(stacks__0__rules=7), "there is no rules 7"),
        (changed(layouts__0__units=[[3, 99, "middle"]]), "unit 0 from 3 to 99 is not in its 19 blocks"),
        (changed(layouts__0__units=[[3, 9, "centre"]]), "centre"),
        (changed(masks=["10x"]), "other characters than 0 and 1"),
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
    assert (tree["format"], tree["version"]) == ("cachedsl.plan", 2)
    assert [len(tree[part]) for part in ("rules", "layouts", "tables", "masks")] == [1, 1, 1, 0]
    assert [(stack["rules"], stack["layout"], stack["table"]) for stack in tree["stacks"]] == [(0, 0, 0), (0, 0, 0)]


ONE = "version: 1\ncompute: {compute}\nwarmup: {warmup}\nreuse: {{threshold: {threshold}}}\n{more}"
OVER = "stacks: {single: {reuse: {max_total: 5}, compute: {back: 1}}}\n"


@pytest.mark.parametrize("more", ["", OVER])
@pytest.mark.parametrize("change", [{"threshold": 0.3}, {"compute": "F4B0"}, {"warmup": 5}])
def test_one_change_of_a_policy_is_one_change_in_its_plan(change: dict[str, Any], more: str) -> None:
    """What two stacks share stands in one place, also where one of them has settings of its own."""
    settings = {"compute": "F2B0", "warmup": 3, "threshold": 0.1, "more": more}

    def tree(**settings: Any) -> Any:
        return json.loads(compile_policy(parse_policy(ONE.format(**settings)), SHAPE, 10).to_json())

    before, after = tree(**settings), tree(**{**settings, **change})
    places = {"threshold": ["rules.0.threshold"], "compute": ["layouts.0.front"], "warmup": ["rules.0.warmup"]}
    # the table follows from the warmup, and is one for both stacks
    also = ["tables"] if "warmup" in change else []
    assert differing_places(before, after) == [*places[next(iter(change))], *also]


def differing_places(one: Any, other: Any, place: tuple[Any, ...] = ()) -> list[str]:
    """Return the dotted places where two plans differ; a table is one place."""
    if type(one) is not type(other) or not isinstance(one, (dict, list)) or place[:1] == ("tables",):
        return [] if one == other else [".".join(map(str, place))]
    keys = one if isinstance(one, dict) else range(max(len(one), len(other)))
    return [found for key in keys for found in differing_places(one[key], other[key], (*place, key))]


@given(trees(), trees())
def test_a_merge_patch_makes_one_tree_of_another(old: dict[str, Any], new: dict[str, Any]) -> None:
    patch = patch_between(old, new)
    assert json.dumps(patched(old, patch), sort_keys=True) == json.dumps(new, sort_keys=True)
    assert patch_between(new, new) == {}


@settings(max_examples=60)
@given(policies(), st.lists(st.integers(1, 60), min_size=1, max_size=3))
def test_a_layout_says_the_units_of_a_stack_of_any_length(policy: Policy, blocks: list[int]) -> None:
    for count in blocks:
        try:
            plan = compile_policy(policy, ModelShape([StackShape("blocks", count)], "m"), None)
        except PolicyError:
            continue
        (stack,) = plan.stacks
        layout = layout_of(stack)
        assert read_layout(json.loads(json.dumps(layout_tree(layout)))) == layout
        assert [*layout.spans(count)] == [(u.start, u.stop, u.kind) for u in stack.units]
        assert layout.units is None, "a key says it, whatever the block count"


def test_units_that_no_key_can_say_are_written_out() -> None:
    (stack,) = compile_policy(load_policy("f8b0"), ModelShape([StackShape("b", 28)], "m"), 10).stacks
    odd = attrs.evolve(stack, units=(Unit(0, 9, 12), Unit(1, 14, 20)))
    plan = attrs.evolve(compile_policy(load_policy("f8b0"), SHAPE, 10), stacks=(odd,))
    assert json.loads(plan.to_json())["layouts"][0]["units"] == [[9, 12, "middle"], [14, 20, "middle"]]
    assert Plan.from_json(plan.to_json()) == plan
