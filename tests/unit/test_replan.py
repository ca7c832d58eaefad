"""A run that turns out to have another step count goes on by the plan of that count."""

from __future__ import annotations

import pytest

from cachedsl import Policy, compile_policy, load_policy
from cachedsl.plan.ir import StackPlan
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.runtime import session
from cachedsl.runtime.driver import Driver
from tests.tiny import tiny_transformer

RATIOS = [1.0, *(1 - step / 100 for step in range(1, 20))]
POLICY = Policy(compute="F0B0", warmup=1, reuse={"signal": {"tap": "magnitude", "ratios": RATIOS}})


def plan_of(steps: int) -> StackPlan:
    return compile_policy(POLICY, ModelShape([StackShape("blocks", 6)]), steps).stacks[0]


@pytest.mark.parametrize(("before", "after"), [(5, 20), (20, 5), (5, 10)])
def test_ratios_are_stretched_over_the_new_count(before: int, after: int) -> None:
    driver, fresh = Driver(plan_of(before), before), Driver(plan_of(after), after)
    driver.replan(plan_of(after), after)
    for one in (driver, fresh):
        meter = one.features[0].meter
        assert meter is not None
        meter.keep(0)
    values = [[one.features[0].meter.measure(step) for step in range(1, after)] for one in (driver, fresh)]  # type: ignore[union-attr]
    assert values[0] == values[1]
    assert max(values[0]) > 0


def test_a_handle_does_not_keep_the_plan_of_every_policy_that_it_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_PLANS", 4)
    with load_policy("F1B0_W1R0.1").apply(tiny_transformer("dit"), num_inference_steps=4) as cached:
        for number in range(12):
            with cached.using(f"F1B0_W1R0.{number + 1}"):
                cached.plan(4)
            assert len(cached._session._plans) == min(number + 1, 4)
        assert len(cached._session._plans) == 4
        assert cached.plan(4).policy_name == "f1b0_w1r0.1"
