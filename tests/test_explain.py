"""What `explain` and the diagram say of a plan is what its table says."""

from __future__ import annotations

import re

import pytest

from cachedsl import compile_policy
from cachedsl.explain.words import explain
from cachedsl.loading import parse_policy
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape

BACK = "compute: {front: 2, back: 4, back_blocks: [0], back_threshold: 0.1}"
STATIC = "steps: {every: 4, otherwise: static}"
OPEN = r"Stepping --> Measuring: UnitReached on an open step"
BACK_ARROW = "Stepping --> Measuring: UnitReached, a back block on a reused step"
UNCONDITIONAL = "Stepping --> Stepping: UnitReached, reuse unless forced"


def plan_of(*lines: str) -> Plan:
    policy = parse_policy("\n".join(["version: 1", *lines]) + "\n")
    return compile_policy(policy, ModelShape([StackShape("blocks", 28)], "generic"), 28)


@pytest.mark.parametrize(
    "reuse", [f"{STATIC}\nreuse: {{max_accumulated: 2}}", "reuse: {threshold: always, max_accumulated: 2}"]
)
@pytest.mark.parametrize("compute", [BACK, "compute: F2B4"])
def test_what_back_blocks_measure_decides_no_step(compute: str, reuse: str) -> None:
    plan = plan_of(compute, reuse)
    (stack,) = plan.stacks
    assert stack.table is not None
    assert "open" not in {entry.verdict for entry in stack.table}
    words, diagram = explain(plan), plan.to_mermaid()
    assert "reused without measuring" in words
    assert "decided by measuring" not in words
    assert "sum up to" not in words, "no value is summed up, so the limit never fires"
    assert "max_accumulated" not in diagram
    assert OPEN not in diagram
    assert UNCONDITIONAL in diagram
    assert (BACK_ARROW in diagram) == (compute == BACK) == ("Measuring" in diagram)


def test_steps_that_are_measured_are_said_to_be() -> None:
    plan = plan_of(BACK, "steps: {every: 4}", "reuse: {max_accumulated: 2}")
    words, diagram = explain(plan), plan.to_mermaid()
    assert "the others are decided by measuring" in words
    assert "sum up to 2" in words
    assert "max_accumulated 2" in diagram
    assert OPEN in diagram
    assert BACK_ARROW in diagram
    assert UNCONDITIONAL not in diagram


def test_a_limit_of_nothing_computes_every_step_without_a_measurement() -> None:
    plan = plan_of(BACK, "reuse: {threshold: always, max_accumulated: 0}")
    assert "1" * 28 in plan.to_text()
    assert "sum up to 0" in explain(plan)
    assert "max_accumulated 0" in plan.to_mermaid()


def test_nothing_is_measured_where_every_step_is_computed() -> None:
    diagram = plan_of(BACK, "reuse: {threshold: 0}").to_mermaid()
    assert "Measuring" not in diagram
    assert not re.search("UnitReached|UnitMeasured", diagram)
