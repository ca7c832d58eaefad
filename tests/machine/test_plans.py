"""Every bundled policy on every adapter has a committed plan, and plans can be read."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedsl import PolicyError, bundled_policies, compile_policy, load_policy
from cachedsl.explain.words import explain
from cachedsl.language.masks import AtMask, BudgetMask, EveryMask, PresetMask, RunsMask
from cachedsl.language.policy import Policy
from cachedsl.language.presets import DESIGNED, RUNS_28
from cachedsl.language.schedule import resolve_mask
from cachedsl.machine.guards import step_labels
from cachedsl.matching.reading import find_adapter, load_adapters
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.golden import matches_golden

GOLDEN = Path(__file__).parent / "golden"
SHOWN = (
    "digits-dit",
    "flux.1-dev",
    "qwen-image",
    "wan2.1-t2v-1.3b",
    "wan2.2-t2v-a14b",
    "hunyuan-video",
    "cogvideox-5b",
)
"""Models whose plans are committed in full; of all others a line each."""
MODELS = [(adapter, name) for adapter in load_adapters() for name in (*adapter.models, *adapter.transformers)]


@pytest.mark.parametrize("policy", bundled_policies())
def test_a_bundled_policy_on_every_model(policy: str) -> None:
    """A policy that a model cannot have (its adapter lacks the signal) has its refusal committed."""
    loaded = load_policy(policy)
    shapes = {name: adapter.shape(name) for adapter, name in MODELS}
    full, lines = [], []
    for name, shape in shapes.items():
        try:
            plan = compile_policy(loaded, shape, 28)
        except PolicyError as error:
            lines.append(f"{name}: refused ({', '.join(dict.fromkeys(d.code for d in error.diagnostics))})\n")
            continue
        if name in SHOWN:
            full.append((SHOWN.index(name), plan.to_text()))
        else:
            lines.append(f"{name}: {one_line(plan)}\n")
    text = "\n".join(text for _, text in sorted(full))
    matches_golden(f"{text}\nOther models\n\n{''.join(lines)}", GOLDEN / "plans" / f"{policy}.txt")


def one_line(plan: Plan) -> str:
    """Units and guards of a plan, and a hash of all that it says."""
    units = " + ".join(
        f"{len(stack.units)} of {stack.blocks} blocks" if stack.units else "in full" for stack in plan.stacks
    )
    guards = dict.fromkeys(label for stack in plan.stacks if stack.units for label in step_labels(stack))
    digest = hashlib.sha256(plan.to_json().encode()).hexdigest()[:12]
    return f"{units}; {', '.join(guards)}; {digest}"


@pytest.mark.parametrize("policy", bundled_policies())
def test_json(policy: str) -> None:
    matches_golden(
        compile_policy(load_policy(policy), find_adapter("flux").shape(), 28).to_json(),
        GOLDEN / "json" / f"{policy}.json",
    )


@pytest.mark.parametrize("policy", bundled_policies())
def test_explanation(policy: str) -> None:
    plan = compile_policy(load_policy(policy), ModelShape([StackShape("blocks", 28)], "generic"), 28)
    matches_golden(f"{explain(plan)}\n{plan.to_text()}\n{plan.to_mermaid()}", GOLDEN / "explained" / f"{policy}.txt")


def test_no_golden_plan_is_left_over() -> None:
    expected = {f"plans/{policy}.txt" for policy in bundled_policies()}
    expected |= {f"json/{policy}.json" for policy in bundled_policies()}
    expected |= {f"explained/{policy}.txt" for policy in bundled_policies()}
    assert {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()} == expected


def one_stack(policy: Policy, steps: int | None, blocks: int = 20) -> Plan:
    return compile_policy(policy, ModelShape([StackShape("blocks", blocks)], "generic"), steps)


def test_compiling_is_pure_and_json_is_stable() -> None:
    plan = one_stack(load_policy("f8b8-taylor"), 28)
    assert plan == one_stack(load_policy("f8b8-taylor"), 28)
    assert plan.to_json() == one_stack(load_policy("f8b8-taylor"), 28).to_json()
    assert json.loads(plan.to_json())["layouts"] == [{"front": 8, "back": 8, "middle": "whole"}]


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


@pytest.mark.parametrize("preset", ["slow", "medium", "fast", "ultra"])
def test_presets_are_the_published_masks_where_there_are_some(preset: Any) -> None:
    for steps, masks in DESIGNED.items():
        assert resolve_mask(PresetMask(preset), steps) == masks[preset]
        assert len(masks[preset]) == steps
    assert resolve_mask(RunsMask(*RUNS_28[preset]), 28) == DESIGNED[28][preset]


def test_presets_scale_the_boundaries_of_28_steps() -> None:
    """Worked by hand for 50 steps: boundaries of the fast runs times 50 / 28, rounded half up."""
    bounds = [6, 7, 8, 11, 12, 16, 17, 22, 23, 27, 28]
    scaled = [math.floor(bound * 50 / 28 + 0.5) for bound in bounds]
    expected, before = "", 0
    for i, bound in enumerate(scaled):
        expected += "10"[i % 2] * (bound - before)
        before = bound
    assert resolve_mask(PresetMask("fast"), 50) == expected
    assert len(expected) == 50


@given(st.sampled_from(["slow", "medium", "fast", "ultra"]), st.integers(1, 200))
def test_presets_have_a_step_for_every_count_and_end_computed(preset: Any, steps: int) -> None:
    bits = resolve_mask(PresetMask(preset), steps)
    assert len(bits) == steps
    assert bits[0] == bits[-1] == "1"


@given(st.integers(1, 60), st.floats(0.1, 10), st.integers(1, 60))
def test_a_budget_is_spent_exactly(budget: int, power: float, steps: int) -> None:
    bits = resolve_mask(BudgetMask(budget, power), steps)
    assert len(bits) == steps
    assert bits.count("1") == min(budget, steps)
    assert bits.startswith("1" * min(2, budget, steps))
    assert budget < 3 or bits[-1] == "1"


def test_budgets_are_even_or_denser_at_the_head() -> None:
    even = [i for i, bit in enumerate(resolve_mask(BudgetMask(6), 17)) if bit == "1"]
    assert even == [0, 1, 5, 9, 12, 16]
    dense = [i for i, bit in enumerate(resolve_mask(BudgetMask(6, 2.0), 17)) if bit == "1"]
    assert dense == [0, 1, 2, 5, 9, 16]


def test_a_fixed_interval() -> None:
    assert resolve_mask(EveryMask(3), 8) == "10010010"
    assert resolve_mask(EveryMask(4, 3), 12) == "111100010001"
