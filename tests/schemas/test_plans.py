"""The schema of plans accepts every plan, and refuses what `Plan.from_json` refuses, as far as a schema can say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl import PolicyError, compile_policy, load_policy
from cachedsl.explain.schemas import plan_schema
from cachedsl.language.policy import Policy
from cachedsl.loading import parse_policy
from cachedsl.plan.codec import PlanError, WrittenPlan, WrittenStack, from_tree
from cachedsl.plan.ir import Plan
from cachedsl.plan.layout import Layout
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.plan.rules import PredictPlan, Rules, SignalPlan
from tests.schemas.mutate import mutate
from tests.schemas.validate import Validator
from tests.strategies import policies

ROOT = Path(__file__).resolve().parents[2]
VALIDATOR = Validator(plan_schema())
SHAPE = ModelShape([StackShape("double", 19, modulated=True), StackShape("single", 38, modulated=True)], "model")
NAMES = st.sampled_from(
    ["x", *(one.name for cls in (WrittenPlan, WrittenStack, Rules, Layout, StackShape) for one in attrs.fields(cls))]
)
TOGETHER = ("there is no ", "is not in its", "more than", "required field missing @ plan.rules[1]")
"""What no schema says: indices into other lists, blocks that a stack lacks, what a patch leaves of the first."""


def test_all_committed_plans_hold() -> None:
    files = sorted((ROOT / "tests" / "machine" / "golden" / "json").glob("*.json"))
    plans = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    vectors = json.loads((ROOT / "docs" / "conformance" / "vectors.json").read_text(encoding="utf-8"))
    plans += [one["plan"] for part in ("plans", "sequences") for one in vectors[part]]
    assert len(plans) > 60
    for plan in plans:
        VALIDATOR.validate(plan)
        from_tree(plan)


def agree(tree: Any) -> bool:
    """Assert that the reader refuses what the schema does, and no more but for what no schema can say."""
    errors = [error.message for error in VALIDATOR.iter_errors(tree)]
    try:
        from_tree(tree)
    except PlanError as error:
        assert errors or any(said in str(error) for said in TOGETHER), error
    else:
        assert not errors
    return not errors


@settings(max_examples=80, deadline=None)
@given(policies(), st.none() | st.integers(1, 30), st.data())
def test_a_mutated_plan_is_refused_by_both_or_by_neither(
    policy: Policy, steps: int | None, data: st.DataObject
) -> None:
    try:
        tree = json.loads(compile_policy(policy, SHAPE, steps).to_json())
    except PolicyError:
        return
    VALIDATOR.validate(tree)
    for _ in range(data.draw(st.integers(1, 2))):
        mutate(tree, data.draw, NAMES)
        agree(tree)


def f8b0(**changes: Any) -> Any:
    """Return a plan whose second stack differs, with changes at dotted places."""
    policy = "stacks: {single: {reuse: {max_total: 5}, compute: {back: 1}}}"
    tree = json.loads(compile_policy(parse_policy(f"version: 1\n{policy}\n"), SHAPE, 10).to_json())
    for path, value in changes.items():
        *outer, last = path.split("__")
        holder = tree
        for step in outer:
            holder = holder[int(step)] if step.isdigit() else holder[step]
        holder[int(last) if last.isdigit() else last] = value
    return tree


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({"rules__1__signal": {"tap": None}}, False),  # a patch cannot take out what must be there
        ({"rules__1__signal": {"accumulate": None}}, True),
        ({"rules__1__threshold": None}, True),
        ({"rules__1__threshold": "never"}, False),
        ({"rules__1__predict": None}, True),
        ({"rules__0__predict": None}, False),
        ({"layouts__1__front": None}, False),
        ({"layouts__1__front": "all"}, True),
        ({"layouts__0__units": [[3, 9, "centre"]]}, False),
        ({"layouts__0__units": [[3, 9, "middle", 1]]}, False),
        ({"masks": ["10x"]}, False),
        ({"masks": "10"}, False),
        ({"tables": [[[0, "open", ""]]]}, False),
        ({"tables": [[[1, "open"]]]}, False),
        ({"stacks": ""}, False),
        ({"stacks": {}}, False),
        ({"stacks__0__shape__lists": {}}, False),
        ({"stacks__0__shape__lists": ["ab"]}, False),
        ({"stacks__0__rules": -1}, False),
        ({"stacks__0__rules": True}, False),
        ({"stacks__0__shape__blocks": 10_001}, False),
        ({"version": 1}, False),
    ],
)
def test_what_a_hand_might_write(change: dict[str, Any], holds: bool) -> None:
    assert agree(f8b0(**change)) is holds


def test_the_schema_takes_a_whole_float_where_the_reader_does_not() -> None:
    """In JSON Schema 4.0 is an integer; docs/plans.md says so."""
    tree = f8b0(rules__0__warmup=4.0)
    assert VALIDATOR.is_valid(tree)
    with pytest.raises(PlanError, match="expected int"):
        from_tree(tree)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_json_has_no_number_for_is_refused(number: str) -> None:
    text = compile_policy(load_policy("f8b0"), SHAPE, 10).to_json().replace("0.08", number)
    with pytest.raises(PlanError) as caught:
        Plan.from_json(text)
    assert number in str(caught.value) or "threshold" in str(caught.value)


def test_defaults_are_those_of_the_reader() -> None:
    definitions = plan_schema()["$defs"]
    for cls in (Rules, SignalPlan, PredictPlan):
        properties = definitions[cls.__name__.lower()]["properties"]
        assert {name for name, said in properties.items() if "default" in said} == {
            one.name for one in attrs.fields(cls) if type(one.default) in (bool, int, float, str)
        }
