"""Where findings point, what the table claims on long runs, and what diagrams and words say of odder policies."""

from __future__ import annotations

import json
import math
import re

import pytest

from cachedsl import PolicyError
from cachedsl.explain.text import table_bits, table_lines
from cachedsl.explain.words import explain
from cachedsl.language.masks import AtMask, BitMask, RunsMask
from cachedsl.language.schedule import MaskMismatch, resolve_mask
from cachedsl.loading import parse_policy
from cachedsl.lower.compile import check_fit, compile_policy
from cachedsl.machine.simulate import simulate
from cachedsl.plan.ir import Plan, StackPlan
from cachedsl.plan.model_shape import ModelShape, StackShape

SHAPE = ModelShape([StackShape("double_blocks", 19), StackShape("single_blocks", 38)], "TinyModel")


def plan_of(text: str, steps: int | None = 28, shape: ModelShape = SHAPE) -> Plan:
    return compile_policy(parse_policy(f"version: 1\n{text}\n", "p.yaml"), shape, steps)


def stack_of(text: str, steps: int | None = 28, blocks: int = 20) -> StackPlan:
    return plan_of(text, steps, ModelShape([StackShape("blocks", blocks)], "TinyModel")).stacks[0]


def places(text: str, steps: int | None, shape: ModelShape = SHAPE) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        plan_of(text, steps, shape)
    return [str(finding).partition(" (")[0] for finding in caught.value.diagnostics]


def test_findings_of_an_override_point_at_the_override() -> None:
    text = 'steps: "11"\nstacks:\n  single_*: {tail: 1, compute: F1B0}\n  single_blocks:\n    steps: {at: [0, 3]}\n'
    assert places(text, 3) == [
        "p.yaml:2:8: error[mask-length]: steps: the mask has 2 steps, but the run has 3",
        "p.yaml:6:12: error[mask-length]: steps: the mask computes step 3, but the run has 3",
    ]
    assert places(text, None) == [
        "p.yaml:2:8: error[unknown-step-count]: steps: a mask needs the run's step count, which is not known",
        "p.yaml:4:20: error[unknown-step-count]: tail: 1 needs the run's step count, which is not known",
        "p.yaml:6:12: error[unknown-step-count]: steps: a mask needs the run's step count, which is not known",
    ]


def test_a_finding_points_at_the_override_that_counts() -> None:
    text = "stacks:\n  single_blocks: {tail: 1}\n  single_*: {tail: 2}\n"
    assert places(text, None) == [
        "p.yaml:3:25: error[unknown-step-count]: tail: 1 needs the run's step count, which is not known"
    ]


def test_all_findings_come_at_once_in_file_order() -> None:
    text = 'compute: F20B20\nsteps: "101"\nstacks: {triple_blocks: {tail: 2}}'
    assert [place[:12] for place in places(text, 5)] == ["p.yaml:2:10:", "p.yaml:2:10:", "p.yaml:3:8: ", "p.yaml:4:25:"]


def test_what_can_be_checked_before_the_step_count_is_known() -> None:
    check_fit(parse_policy('version: 1\nsteps: "101"\ntail: 1\n', "p.yaml"), SHAPE)
    with pytest.raises(PolicyError, match="too-many-blocks"):
        check_fit(parse_policy("version: 1\ncompute: F20B18\n", "p.yaml"), SHAPE)


def test_a_stack_has_a_unit_as_long_as_one_block_is_left() -> None:
    assert [(u.start, u.stop) for u in stack_of("compute: F10B9").units] == [(10, 11)]
    (place,) = places("compute: F10B10", 28, ModelShape([StackShape("blocks", 20)], "TinyModel"))
    assert "error[too-many-blocks]" in place
    beside = plan_of("compute: F10B10", 28, ModelShape([StackShape("a", 20), StackShape("b", 21)], "TinyModel"))
    assert [len(stack.units) for stack in beside.stacks] == [0, 1]
    assert (beside.stacks[0].front, beside.stacks[0].back, beside.stacks[0].table) == (20, 0, None)


def test_one_policy_may_give_stacks_of_two_transformers_different_machines() -> None:
    shape = ModelShape([StackShape("blocks", 40), StackShape("blocks", 40, "transformer_2")], "TinyModel")
    plan = plan_of("warmup: 4\nstacks: {transformer_2.*: {warmup: 2, tail: 1}}", 8, shape)
    bits = [table_bits(plan.stack(name, "blocks").table or ()) for name in ("transformer", "transformer_2")]
    assert bits == ["1111????", "11?????1"]


@pytest.mark.parametrize(
    ("mask", "steps", "message"),
    [
        (BitMask("101"), 2, "the mask has 3 steps, but the run has 2"),
        (BitMask("101"), 4, "the mask has 3 steps, but the run has 4"),
        (AtMask((0, 4)), 4, "the mask computes step 4, but the run has 4 (0 to 3)"),
    ],
)
def test_a_mask_that_does_not_fit_says_both_numbers(mask: BitMask | AtMask, steps: int, message: str) -> None:
    with pytest.raises(MaskMismatch, match=re.escape(message)):
        resolve_mask(mask, steps)


def test_a_run_far_longer_than_the_steps_takes_no_memory() -> None:
    assert resolve_mask(RunsMask((1, 1), (10**6, 10**6)), 5) == "10000"


def test_a_fully_static_table_is_the_run_itself() -> None:
    text = "warmup: 2\ntail: 1\nreuse: {threshold: always, max_continuous: 2, max_total: 5}\nrefresh: {at: 9, repeat: true}"
    stack = stack_of(text, 14)
    assert table_bits(stack.table or ()) == "11001001011001"
    outcomes = simulate(stack, lambda step, unit: math.nan, 14)
    assert [(o.verdict, o.reason) for o in outcomes] == [(e.verdict, e.reason) for e in stack.table or ()]
    assert all(u.value is None for o in outcomes for u in o.units)
    assert list(table_lines((stack.table or ())[:5])) == [
        "0 compute (no_history)",
        "1 compute (warmup)",
        "2-3 reuse (static)",
        "4 compute (max_continuous)",
    ]


def test_a_static_mask_keeps_to_the_limits() -> None:
    stack = stack_of("steps: {compute: [2, 1], cache: [5, 3], otherwise: static}\nreuse: {max_continuous: 3}", 11)
    assert table_bits(stack.table or ()) == "11000101000"


def test_limits_leave_a_step_open_as_long_as_they_may_not_have_been_reached() -> None:
    stack = stack_of(
        "warmup: 1\nreuse: {threshold: 0.1, max_continuous: 1, max_accumulated: {limit: 0.1, reset: never}}", 4
    )
    assert table_bits(stack.table or ()) == "1???"
    measured = [0.0, math.nan, 0.05, 0.05]  # step 1 neither reuses nor adds to the sum, so step 2 may reuse
    assert [o.verdict for o in simulate(stack, lambda step, unit: measured[step], 4)] == [
        "compute", "compute", "reuse", "compute",
    ]  # fmt: skip


@pytest.mark.parametrize("limit", ["max_total: 0", "max_continuous: 0", "max_accumulated: 0"])
def test_a_limit_of_nothing_closes_every_step(limit: str) -> None:
    table = stack_of(f"warmup: 1\nreuse: {{threshold: 0.1, {limit}}}", 5).table or ()
    assert [entry.reason for entry in table] == ["no_history"] + [limit.partition(":")[0]] * 4


def test_the_table_of_a_long_run_with_limits_is_quick() -> None:
    """Walking every combination of the counters would take hours here."""
    table = stack_of("reuse: {threshold: 0.1, max_total: 900, max_continuous: 40}", 3000).table or ()
    assert table_bits(table) == "1" * 8 + "?" * 2992


def test_stacks_with_different_machines_get_a_diagram_each() -> None:
    plan = plan_of(
        "compute: F8B0\nstacks: {single_*: {reuse: {threshold: always, max_continuous: 2}}}\ncfg: {decision: follow_first}"
    )
    lines = plan.to_mermaid().splitlines()
    assert '    state "transformer.double_blocks" as Machine1 {' in lines
    assert '    state "transformer.single_blocks" as Machine2 {' in lines
    assert "        Stepping1 --> Stepping1: UnitReached, later branches as the first one" in lines
    assert "        Idle2 --> Stepping2: StepStarted, compute if no_history or warmup 8 or max_continuous 2" in lines
    assert not any("Measuring2" in line for line in lines), "an unconditional machine never measures"
    declared = set(re.findall(r" as (\w+)$", "\n".join(lines), re.M))
    used = {end for line in lines for end in re.findall(r"\b(?:Ended|Idle|Stepping|Measuring)\d\b", line)}
    assert used == declared


def test_a_diagram_names_the_guards_that_can_fire_and_no_others() -> None:
    text = """warmup: {steps: 8, interval: 2}
tail: 2
reuse: {max_total: 9, max_continuous: 3, max_accumulated: 0.5}
refresh: {at: 10, repeat: true}
steps: {compute: [4, 1], cache: [3, 2]}"""
    (started,) = [line for line in plan_of(text).to_mermaid().splitlines() if "StepStarted" in line]
    assert started.partition("compute if ")[2].split(" or ") == [
        "refresh every 10", "no_history", "warmup 4 every 2", "tail 2", "scheduled", "max_total 9", "max_continuous 3",
        "max_accumulated 0.5",
    ]  # fmt: skip
    assert "compute if exact\n" in plan_of("reuse: {threshold: 0, max_total: 3}\ntail: 2").to_mermaid()
    assert "refresh at 9 or" in plan_of("refresh: 9").to_mermaid()
    assert "accumulated" not in plan_of("reuse: {threshold: always, max_accumulated: 0.5}").to_mermaid()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("compute: F1B1", "The first block and the last block always run; the other 18 are computed or reused as one."),
        ("compute: F10B9", "The first 10 and the last 9 blocks always run; the other block is computed or reused as one."),
        ("warmup: 1", "Step 0 is warmup and computed in full."),
        ("warmup: {steps: 8, interval: 3}", "Steps 0 to 7 are warmup: every 3rd of them, from step 0, is computed in full."),
        ("steps: {compute: [2, 1], cache: [9, 3]}", "Steps 0 to 1 are warmup and computed in full."),
        ("tail: 1", "The last step is computed in full."),
        ("tail: 2", "The last 2 steps are computed in full."),
        ("steps: {at: [0, 5]}", "A step mask says which steps are computed; the others are decided by measuring."),
        ("steps: {at: [0, 5], otherwise: static}", "A step mask says which steps are computed; the others are reused without measuring."),
        ("reuse: {threshold: always}", "All other steps are reused without measuring."),
        ("reuse: {threshold: 0}", "The threshold is 0, so every step is computed and the output is that of the uncached model."),
        ("reuse: {max_total: 1}", "At most 1 step of a run is reused."),
        ("reuse: {max_accumulated: {limit: 0.5, reset: never}}", "A step is computed once the measured values over the whole run sum up to 0.5."),
        ("refresh: 9", "All history is dropped before step 9, and a new warmup begins, with fresh limits."),
        ("refresh: {at: 9, repeat: true}", "All history is dropped every 9 steps, and a new warmup begins, with fresh limits."),
        ("cfg: {mode: separate, decision: follow_first}", "Later branches take the verdict of the step's first."),
    ],
)  # fmt: skip
def test_words(text: str, sentence: str) -> None:
    shape = ModelShape([StackShape("blocks", 20)], "TinyModel")
    assert sentence in explain(plan_of(text, 28, shape))


def test_stacks_of_equal_terms_share_their_words_and_a_full_one_says_why() -> None:
    shape = ModelShape([StackShape("a", 20), StackShape("b", 20), StackShape("c", 4)], "TinyModel")
    words = explain(plan_of("compute: F8B0", 28, shape))
    assert "transformer.a (20 blocks) and transformer.b (20 blocks):" in words
    assert "It runs in full: 8 front and 0 back blocks leave none of its 4." in words


@pytest.mark.parametrize(
    ("predict", "sentence"),
    [
        ("copy", "A reused step adds the residual of the last computed one."),
        ("{target: hidden_states}", "A reused step returns the output of the last computed one."),
        ("{method: taylor, order: 2}", "A reused step extrapolates the residual by Taylor's formula of order 2, from up to 3 computed steps."),
        ("{method: newton, order: 1, horizon: 4}", "by Newton's divided differences of order 1, from up to 2 computed steps; beyond 4 steps it copies."),
        ("{method: hermite, clock: sigma}", "by a Hermite basis of order 1 over the sigma, from up to 2 computed steps."),
        ("foca", "by FoCa's predictor and corrector, from up to 3 computed steps."),
        ("{method: dmd, streams: [hidden]}", "the residual of the hidden stream by Dynamic Mode Decomposition, from up to 6 computed steps."),
    ],
)  # fmt: skip
def test_words_of_a_predictor(predict: str, sentence: str) -> None:
    assert sentence in explain(plan_of(f"predict: {predict}"))


def test_the_plan_lists_the_parameters_that_the_predictor_reads() -> None:
    tree = json.loads(plan_of("predict: {method: taylor, order: 2}").to_json())
    assert "ridge" not in tree["rules"][0]["predict"]["parameters"]
    assert tree["rules"][0]["predict"]["parameters"]["order"] == 2
