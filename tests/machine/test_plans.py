"""Every bundled policy on every adapter has a committed plan, and plans can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cachedsl import bundled_policies, compile_policy, load_policy
from cachedsl.machine.masks import resolve_mask
from cachedsl.machine.plan import Plan
from cachedsl.machine.shape import ModelShape, StackShape
from cachedsl.matching import load_adapters
from cachedsl.policy.model import AtMask, Policy, RunsMask
from cachedsl.report.explain import explain
from tests.golden import matches_golden

GOLDEN = Path(__file__).parent / "golden"
MODELS = [(adapter, model) for adapter in load_adapters() for model in adapter.models]


@pytest.mark.parametrize("policy", bundled_policies())
@pytest.mark.parametrize("model", MODELS, ids=lambda m: m[1])
def test_bundled_policy_on_adapter(policy: str, model: tuple) -> None:  # type: ignore[type-arg]
    adapter, name = model
    plan = compile_policy(load_policy(policy), adapter.shape(name), 28)
    matches_golden(plan.to_json(), GOLDEN / name / f"{policy}.json")


@pytest.mark.parametrize("policy", bundled_policies())
def test_explanation(policy: str) -> None:
    plan = compile_policy(load_policy(policy), ModelShape([StackShape("blocks", 28)], "generic"), 28)
    matches_golden(f"{explain(plan)}\n{plan.to_text()}\n{plan.to_mermaid()}", GOLDEN / "explained" / f"{policy}.txt")


def test_no_golden_plan_is_left_over() -> None:
    expected = {f"{name}/{policy}.json" for _, name in MODELS for policy in bundled_policies()}
    expected |= {f"explained/{policy}.txt" for policy in bundled_policies()}
    assert {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()} == expected


def one_stack(policy: Policy, steps: int | None, blocks: int = 20) -> Plan:
    return compile_policy(policy, ModelShape([StackShape("blocks", blocks)], "generic"), steps)


def test_compiling_is_pure_and_json_is_stable() -> None:
    plan = one_stack(load_policy("f8b8-taylor"), 28)
    assert plan == one_stack(load_policy("f8b8-taylor"), 28)
    assert plan.to_json() == one_stack(load_policy("f8b8-taylor"), 28).to_json()
    assert json.loads(plan.to_json())["stacks"][0]["units"] == [{"index": 0, "kind": "middle", "start": 8, "stop": 12}]


def test_a_short_stack_beside_a_long_one_runs_in_full_and_says_so() -> None:
    shape = ModelShape([StackShape("short", 4), StackShape("long", 40)], "generic")
    plan = compile_policy(load_policy("f8b0"), shape, 28)
    assert plan.stack("transformer", "short").units == ()
    assert plan.stack("transformer", "short").note == "runs in full: 8 front and 0 back blocks leave none of its 4"
    assert plan.stack("transformer", "long").note is None
    assert "runs in full" in plan.to_text()
    with pytest.raises(KeyError, match=r"transformer\.other"):
        plan.stack("transformer", "other")


def test_an_unknown_step_count_has_no_table() -> None:
    plan = one_stack(load_policy("f8b0"), None)
    assert plan.stacks[0].table is None
    assert "unknown steps" in plan.to_text()


@pytest.mark.parametrize(
    ("mask", "steps", "bits"),
    [
        (RunsMask((6, 1), (1, 3)), 11, "11111101000"),
        (RunsMask((6, 1), (1, 3)), 14, "11111101000111"),
        (RunsMask((6, 1), (1, 3)), 8, "11111101"),
        (RunsMask((2, 2), (1,)), 6, "110111"),
        (AtMask((0, 3)), 5, "10010"),
    ],
)
def test_masks_are_completed_and_cut(mask: RunsMask | AtMask, steps: int, bits: str) -> None:
    assert resolve_mask(mask, steps) == bits


def test_the_diagram_is_mermaid_with_declared_states_only() -> None:
    for name in bundled_policies():
        lines = one_stack(load_policy(name), 28).to_mermaid().splitlines()
        assert lines[0] == "stateDiagram-v2"
        for line in lines[1:]:
            assert re.fullmatch(
                r"    (\[\*\]|Ended|Idle|Stepping|Measuring) --> (Ended|Idle|Stepping|Measuring)(: [^:;]+)?", line
            )
