"""What a plan says it costs is what the machine runs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl import compile_policy, load_policy
from cachedsl.language.policy import Policy
from cachedsl.machine.simulate import simulate
from cachedsl.plan.ir import StackPlan
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.machine import strategies as own

SHAPE = ModelShape([StackShape("blocks", 28)], "model")


def blocks_run(stack: StackPlan, values: list[float], steps: int) -> int:
    outcomes = simulate(stack, lambda step, unit: values[step], steps)
    spans = [unit.stop - unit.start for unit in stack.units]
    always = stack.blocks - sum(spans)
    return sum(always + sum(spans[u.unit] for u in o.units if u.verdict == "compute") for o in outcomes)


@settings(max_examples=60, deadline=None)
@given(own.plans(), st.data())
def test_every_run_lies_between_the_bounds(case: tuple[StackPlan, int, Policy], data: st.DataObject) -> None:
    _, steps, policy = case
    plan = compile_policy(policy, ModelShape([StackShape("blocks", own.BLOCKS)]), steps)
    cost = plan.cost()
    values = data.draw(st.lists(own.values, min_size=steps, max_size=steps))
    assert cost.least <= blocks_run(plan.stacks[0], values, steps) <= cost.most <= cost.blocks
    if not plan.stacks[0].measures:
        assert cost.exact


def test_a_static_policy_has_one_figure_and_a_bit_string_and_a_measured_one_a_range() -> None:
    static = compile_policy(load_policy("static-every-4"), SHAPE, 28).to_text()
    assert "blocks run: " in static
    assert " to " not in static.splitlines()[-1]
    assert "compute (" not in static, "the bit string says it all"
    measured = compile_policy(load_policy("f8b0"), SHAPE, 28).to_text().splitlines()[-1]
    assert (
        measured == "blocks run: 384 to 784 of 784 (49.0% to 100.0%) in each CFG branch, as the measurements turn out"
    )


def test_a_step_count_that_leaves_nothing_to_reuse_is_said() -> None:
    text = compile_policy(load_policy("repay-medium"), SHAPE, 4).to_text()
    assert "note: 4 steps leave nothing to reuse" in text
    assert "note" not in compile_policy(load_policy("repay-medium"), SHAPE, 28).to_text()
    exact = compile_policy(Policy(reuse={"threshold": 0}), SHAPE, 4).to_text()
    assert "note" not in exact


def test_a_plan_without_a_step_count_has_no_cost() -> None:
    plan = compile_policy(load_policy("f8b0"), SHAPE, None)
    try:
        plan.cost()
    except ValueError as error:
        assert "num_inference_steps" in str(error)
    else:
        raise AssertionError("a cost without a step count")
