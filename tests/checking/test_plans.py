"""Plans that were written to files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachedsl import bundled_policies, load_policy
from cachedsl.checking.plans import plan_findings
from cachedsl.lower.compile import compile_policy
from cachedsl.plan.codec import to_json
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.document import parse_document
from cachedsl.text.finding import CachedslError, Finding

SHAPE = ModelShape([StackShape("blocks", 28)], "a model")


def findings(text: str) -> list[Finding]:
    return list(plan_findings(parse_document(text, "plan.json")))


def tree(name: str = "fora") -> Any:
    return json.loads(to_json(compile_policy(load_policy(name), SHAPE, 12)))


@pytest.mark.parametrize("name", bundled_policies())
def test_what_is_compiled_holds(name: str) -> None:
    policy = load_policy(name)
    plans = []
    for steps in (28, 50):
        try:
            plans.append(compile_policy(policy, SHAPE, steps))
        except CachedslError:
            continue  # for another model or step count
    assert [found.render() for plan in plans for found in findings(to_json(plan))] == []


def changed(**changes: Any) -> Any:
    whole = tree()
    for path, value in changes.items():
        target, steps = whole, path.split("__")
        for step in steps[:-1]:
            target = target[int(step) if step.isdigit() else step]
        target[int(steps[-1]) if steps[-1].isdigit() else steps[-1]] = value
    return whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "a plan of version 1"),
        ({"num_inference_steps": "12"}, "expected int"),
        ({"num_inference_steps": 13}, "the table has 12 steps, the plan 13"),
        ({"masks__0": "01"}, "the mask has 2 steps, the plan 12"),
        ({"masks__0": "01x"}, "other characters"),
        ({"layouts__0": {"front": 20, "back": 20}}, "20 front and 20 back blocks do not fit"),
        ({"layouts__0__units": [[0, 9, "middle"], [3, 28, "middle"]]}, "unit 1 begins before block 9"),
        ({"layouts__0__units": [[0, 99, "middle"]]}, "unit 0 from 0 to 99"),
        ({"layouts__0__units": [[0]]}, "expected begin, end and kind of a unit"),
        ({"layouts__0__middle": "most"}, "expected whole or each"),
        ({"layouts__0__front": -1}, "expected a number of blocks"),
        ({"layouts__0": {"middle": "whole"}}, "with front"),
        ({"layouts__0": {"front": 0, "middle": "each"}, "stacks__0__shape__blocks": 10**9}, "from 0 to 10000"),
        ({"stacks__0__rules": 4}, "there is no rules 4"),
        ({"stacks__0__layout": -1}, "there is no layout -1"),
        ({"tables__0": [[10**12, "compute", ""]]}, "at most 100000"),
        ({"tables__0": [["1", "compute", ""]]}, "no length of at least 1"),
        ({"tables__0": [[-1, "compute", ""]]}, "no length of at least 1"),
        ({"tables__0": [[12, "perhaps", ""]]}, "not a plan"),
        ({"rules": 3}, "not a plan"),
        ({"stacks": []}, "the plan has no stacks"),
    ],
)
def test_what_contradicts_itself(changes: dict[str, Any], message: str) -> None:
    found = findings(json.dumps(changed(**changes)))
    assert found
    assert found[0].code == "bad-plan"
    assert message in found[0].message
    assert found[0].severity == "error"


def test_a_finding_stands_at_its_place() -> None:
    text = json.dumps(changed(version=3), indent=2)
    (found,) = findings(text)
    assert text[found.span.start : found.span.end] == "3"


@pytest.mark.parametrize(
    "changes",
    [
        {"tables__0": [[6, "compute", "x"], [6, "compute", "x"]]},
        {"rules": [*tree()["rules"], *tree()["rules"]]},
        {"layouts__0__keep": []},
    ],
)
def test_another_form_of_the_same_plan_is_a_warning(changes: dict[str, Any]) -> None:
    (found,) = findings(json.dumps(changed(**changes)))
    assert (found.code, found.severity) == ("plan-form", "warning")


def test_an_error_of_the_text_is_all_that_is_said() -> None:
    assert [found.code for found in findings('{"format": "cachedsl.plan",')] == ["syntax"]
