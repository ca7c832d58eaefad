"""A policy made in Python passes the checks of a file, with the same codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachedsl import Policy, PolicyError, compile_policy, load_policy
from cachedsl.language.parts import (
    Accumulated,
    BudgetMask,
    Cfg,
    Compute,
    Dynamic,
    EveryMask,
    Predict,
    Prune,
    Refresh,
    Reuse,
    RunsMask,
    Signal,
    Warmup,
)
from cachedsl.loading import as_policy, parse_policy
from cachedsl.plan.model_shape import ModelShape, StackShape

SHAPE = ModelShape([StackShape("blocks", 20)])
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "reuse: {signal: magnitude}": (lambda: Policy(reuse=Reuse(signal="magnitude")), "needs-ratios"),
    "warmup: {interval: 0}": (lambda: Policy(warmup=Warmup(8, 0)), "bad-value"),
    "refresh: 0": (lambda: Policy(refresh=Refresh(0)), "bad-value"),
    "predict: nope": (lambda: Policy(predict=Predict("nope")), "bad-value"),
    "compute: {back: 2, back_blocks: [5], back_threshold: 0.1}": (
        lambda: Policy(compute=Compute(8, 2, [5], 0.1)),
        "back-blocks",
    ),
    "compute: {back: 2, back_blocks: [0]}": (lambda: Policy(compute=Compute(8, 2, back_blocks=[0])), "back-blocks"),
    "reuse: {threshold: -1}": (lambda: Policy(reuse=Reuse(threshold=-1)), "bad-value"),
    "reuse: {threshold: .nan}": (lambda: Policy(reuse=Reuse(threshold=float("nan"))), "not-finite"),
    "prune: {}\npredict: probe_gain": (lambda: Policy(prune=Prune(), predict=Predict("probe_gain")), "no-effect"),
    "prune: {}\nreuse: {signal: probe}": (lambda: Policy(prune=Prune(), reuse=Reuse(signal="probe")), "no-effect"),
    "steps: {budget: 0}": (lambda: Policy(steps=BudgetMask(0)), "bad-value"),
    "steps: {every: 0}": (lambda: Policy(steps=EveryMask(0)), "bad-value"),
    "steps: {compute: [1], cache: [1, 2]}": (lambda: Policy(steps=RunsMask([1], [1, 2])), "mask-runs"),
    "steps: {at: [1], every: 2}": (lambda: Policy(steps={"at": [1], "every": 2}), "mask-form"),
    "compute: F0B0": (lambda: Policy(compute=Compute(0)), "signal-needs-front"),
    "predict: {method: probe_gain, clip: [2, 1]}": (
        lambda: Policy(predict=Predict("probe_gain", clip=(2, 1))),
        "clip-order",
    ),
    "prune: {dynamic: {max: 0.01}}": (lambda: Policy(prune=Prune(dynamic=Dynamic(max=0.01))), "no-effect"),
    "cfg: {mode: fused, order: uncond_first}": (lambda: Policy(cfg=Cfg("fused", "uncond_first")), "no-effect"),
    "reuse: {max_accumulated: -1}": (lambda: Policy(reuse=Reuse(max_accumulated=Accumulated(-1))), "bad-value"),
    'warmup: "8"': (lambda: Policy(warmup="8"), "bad-value"),
    "warmup: 2.7": (lambda: Policy(warmup=2.7), "bad-value"),
    "warmup: true": (lambda: Policy(warmup=True), "bad-value"),
    "reuse: {threshold: no}": (lambda: Policy(reuse={"threshold": "no"}), "bad-value"),
    "stacks: {blocks: {tial: 2}}": (lambda: Policy(stacks={"blocks": {"tial": 2}}), "unknown-key"),
    "reuse: {signal: {stride: 2}}": (lambda: Policy(reuse={"signal": {"stride": 2}}), "missing-key"),
}


@pytest.mark.parametrize(
    ("value", "said"), [("8", '`"8"`'), ("true", '`"true"`'), ("8 steps", "`8 steps`"), ("", '`""`'), (2.7, "`2.7`")]
)
def test_text_that_reads_like_another_value_is_shown_in_quotes(value: Any, said: str) -> None:
    """Else the message would say that 8 came where a whole number was expected."""
    with pytest.raises(PolicyError, match=f"got {said}"):
        Policy(warmup=value)
    if value:
        with pytest.raises(PolicyError, match=f"got {said}"):
            parse_policy(f"version: 1\nwarmup: {json.dumps(value)}\n")


@pytest.mark.parametrize("text", CASES)
def test_what_a_file_may_not_say_a_program_may_not_either(text: str) -> None:
    made, code = CASES[text]
    with pytest.raises(PolicyError) as in_python:
        compile_policy(made(), SHAPE, 10)
    with pytest.raises(PolicyError) as in_a_file:
        compile_policy(parse_policy(f"version: 1\n{text}\n"), SHAPE, 10)
    assert {finding.code for finding in in_python.value.findings} == {code}
    assert {finding.code for finding in in_a_file.value.findings} == {code}


def test_parts_may_be_given_in_short_as_in_a_file() -> None:
    short = Policy(
        compute="F1B0", warmup=4, predict="taylor", cfg="separate", steps="1101", refresh=9, reuse={"threshold": 0.2}
    )
    text = (
        "compute: F1B0\nwarmup: 4\npredict: taylor\ncfg: separate\nsteps: '1101'\nrefresh: 9\nreuse: {threshold: 0.2}"
    )
    assert short == parse_policy(f"version: 1\nname: policy\n{text}")
    assert Policy(predict=None, steps=None) == Policy()


def test_stacks_may_be_given_as_a_mapping_of_trees_or_of_parts() -> None:
    tree = Policy(stacks={"a": {"compute": "F1B0", "reuse": {"threshold": 0.2}}})
    parts = Policy(stacks={"a": {"compute": Compute(1, 0), "reuse": {"threshold": 0.2}}})
    for policy in (tree, parts, parse_policy("version: 1\nstacks: {a: {compute: F1B0, reuse: {threshold: 0.2}}}")):
        assert policy.for_stack("t", "a").compute == Compute(1, 0)
        assert policy.for_stack("t", "a").reuse == Reuse(0.2)
        assert hash(policy)


def test_a_dead_signal_is_not_written_so_that_what_is_written_loads() -> None:
    written = Policy(prune=Prune(), reuse=Reuse(0.2, signal="probe")).to_yaml()
    assert parse_policy(written).for_stack("t", "x") == Policy(prune=Prune(), reuse=Reuse(0.2)).for_stack("t", "x")


def test_probe_and_hidden_states_are_one_tap_with_other_defaults() -> None:
    probe, hidden = Signal("probe").spec, Signal("hidden_states").spec
    assert (probe.meter, probe.source, probe.words, probe.reads) == (
        hidden.meter,
        hidden.source,
        hidden.words,
        hidden.reads,
    )
    assert probe.defaults != hidden.defaults


@pytest.mark.parametrize(
    ("share", "steps", "expected"), [("20%", 28, 6), ("10%", 25, 3), ("50%", 7, 4), ("0%", 9, 0), ("100%", 9, 9)]
)
def test_warmup_and_tail_may_be_a_share_of_the_run_rounded_half_up(share: str, steps: int, expected: int) -> None:
    warmup = parse_policy(f"version: 1\nwarmup: {share}\nreuse: {{threshold: always}}")
    assert compile_policy(warmup, SHAPE, steps).stacks[0].rules.warmup == expected
    both = parse_policy(f"version: 1\nwarmup: {{steps: 1}}\ntail: {share}\nreuse: {{threshold: always}}")
    table = compile_policy(both, SHAPE, steps).stacks[0].table or ()
    assert sum(entry.reason == "tail" for entry in table) == max(expected - (expected == steps), 0)
    assert parse_policy(warmup.to_yaml()) == warmup


@pytest.mark.parametrize("text", ["warmup: 20%", "warmup: {steps: 20%}", "tail: 20%", "stacks: {blocks: {tail: 5%}}"])
def test_a_share_needs_the_step_count(text: str) -> None:
    with pytest.raises(PolicyError, match="unknown-step-count"):
        compile_policy(parse_policy(f"version: 1\n{text}"), SHAPE, None)


@pytest.mark.parametrize("text", ["20 %", "120%", "-5%", "2.5%", "%", "20"])
def test_what_is_no_share_is_told_how_one_is_written(text: str) -> None:
    with pytest.raises(PolicyError, match="or a share such as `20%`"):
        parse_policy(f"version: 1\ntail: '{text}'")


def test_a_policy_may_be_named_where_one_is_taken(tmp_path: Path) -> None:
    policy = load_policy("f8b0")
    assert as_policy(policy) is policy
    assert as_policy("f8b0") == policy
    assert as_policy("F8B0_R0.3").reuse.threshold == 0.3
    file = tmp_path / "mine.yaml"
    file.write_text("version: 1\n")
    assert as_policy(file).name == "mine"


@pytest.mark.parametrize("source", [None, 3, b"\xff", ["f8b0"], Policy])
def test_what_is_no_name_ends_in_one_clear_error(source: Any) -> None:
    with pytest.raises((TypeError, PolicyError), match=r"expected a path|is no policy"):
        load_policy(source)


def test_a_bundled_policy_is_never_taken_for_a_file_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r"there is no file 'f8b0.yaml'; the bundled policy of that name is taken"):
        assert load_policy("f8b0.yaml") == load_policy("f8b0")
    Path("f8b0.yaml").write_text("version: 1\nwarmup: 3\n")
    assert load_policy("f8b0.yaml").warmup == Warmup(3)
    with pytest.raises(PolicyError, match="not-found"):
        load_policy("policies/f8b0.yaml")


@pytest.mark.parametrize("notation", ["F8B0_SCM", "F8B0_SCM_R0.1", "F8B0_MC", "F8B0_CFG"])
def test_letters_without_their_value_are_named_whole(notation: str) -> None:
    letters = notation.split("_")[1]
    with pytest.raises(PolicyError, match=f"`{letters}` lacks its value"):
        load_policy(notation)
