"""Files that were written to break their reader, or to say something other than they seem to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cachedsl import Policy, PolicyError, load_policy
from cachedsl.language.parts import Predict
from cachedsl.loading import check_file, parse_policy


def findings(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse_policy(f"version: 1\n{text}\n", "p.yaml")
    return str(caught.value)


@pytest.mark.parametrize("text", ['compute: "F8B0\\n"', 'steps: "110\\n"', 'steps: {bits: "1\\n"}', 'name: "abc\\n"'])
def test_a_line_break_at_the_end_is_no_part_of_a_short_text(text: str) -> None:
    assert "error[bad-value]" in findings(text)


@pytest.mark.parametrize("value", ["9" * 400, "1e300", "1000001", "1000000.5"])
@pytest.mark.parametrize("key", ["warmup", "tail", "refresh", "threshold", "max_accumulated"])
def test_numbers_beyond_any_use_are_refused(key: str, value: str) -> None:
    text = f"reuse: {{{key}: {value}}}" if key[0] in "tm" and key != "tail" else f"{key}: {value}"
    assert "error[bad-value]" in findings(text)


def test_a_number_that_is_none_is_named_once_and_only_where_a_number_is_expected() -> None:
    assert findings("name: .inf") == (
        "p.yaml:2:7: error[bad-value]: name: expected a name of lower-case letters, digits, `-`, `_` and `.`, got `.inf`"
    )
    said = findings("predict: {method: dmd, ridge: -.inf, rank: .nan}\ncompute: {back_threshold: .inf}").splitlines()
    assert [line.split("]")[0].split()[1] for line in said] == [
        "error[not-finite",
        "error[bad-value",
        "error[not-finite",
    ]
    assert "error[bad-value]" in findings(f"compute: {{back_threshold: {'9' * 400}}}")


def test_a_mapping_where_none_is_expected() -> None:
    expected = (
        "p.yaml:2:20: error[bad-value]: reuse.threshold: expected a finite number of at least 0, or `always`, got"
    )
    assert findings("reuse: {threshold: {a: 1}}") == f"{expected} a mapping"
    assert findings("reuse: {threshold: {}}") == f"{expected} a mapping"


@pytest.mark.parametrize("text", ["stacks: {'': {}}", 'stacks: {"a\\nb": {}}', 'stacks: {"a\\e[31m": {}}'])
def test_the_keys_of_stacks_are_printable(text: str) -> None:
    assert "stacks: expected the name of a block list, or a glob, got" in findings(text)


@pytest.mark.parametrize(
    "text",
    [
        '"a\\n::error::b": 1',
        '"a\\n": 1\n"a\\n": 2',
        'reuse: {"\\e[31m": 1}',
        'compute: "F8\\e[31m\\nB0"',
        'stacks: {"a\\nb": {x: 1}}',
        'extends: "x\\n::error::y"',
        "tail: !<%0A%1B> 3",
    ],
)
def test_a_file_cannot_write_lines_of_its_own_into_the_log(text: str) -> None:
    for line in findings(text).splitlines():
        assert line.startswith("p.yaml:")
        assert line.isprintable()


def test_only_digits_make_a_value_an_unquoted_mask() -> None:
    assert 'quote it, it is text and not a number: "0110"' in findings("steps: 0110")
    assert "quote it" not in findings("steps: true")


@pytest.mark.parametrize("target", ['"a\\0b"', "a" * 5000, "loop.yaml"])
def test_a_parent_that_no_file_system_has(target: str, tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "a.yaml").write_text(f"version: 1\nextends: {target}\n")
    (finding,) = check_file(tmp_path / "a.yaml", "a.yaml")
    assert finding.code == "extends-missing"


@pytest.mark.parametrize("name", ["\0", "a" * 5000, "", "F٣B0"])
def test_a_name_that_no_file_system_has(name: str) -> None:
    with pytest.raises(PolicyError, match="not-found"):
        load_policy(name)


def test_notation_longer_than_a_file_name_may_be() -> None:
    assert load_policy(f"F8B0_SCM{'10' * 400}").notation.endswith("10" * 400)


def test_a_threshold_in_notation_has_the_bound_of_the_file() -> None:
    with pytest.raises(PolicyError, match=r"<notation>:1:6: .*a threshold is at most 1000000"):
        load_policy("F8B0_R1e400")


WHOLE_COPY = {"method": "copy", "target": "residual", "repay": 0.0}


@pytest.mark.parametrize("override", [WHOLE_COPY, "copy", {"method": "taylor", "order": 1}, {"order": 2}, None])
@pytest.mark.parametrize("full", [True, False])
def test_an_override_of_the_predictor_is_written_as_it_may_be_read(override: Any, full: bool) -> None:
    policy = Policy(predict="taylor", stacks={"blocks": {"predict": override}})
    again = parse_policy(policy.to_yaml(full=full), "policy.yaml")
    assert again == policy
    assert again.expand() == policy
    assert again.for_stack("t", "blocks").predict == policy.for_stack("t", "blocks").predict
    assert parse_policy("version: 1\nstacks: {a: {predict: copy}}").for_stack("t", "a").predict == Predict()


@pytest.mark.parametrize("text", ["x\x85y", "\ta\n b \n", "\u2028", "---", "0o17", "'\"# ", "\ufeff"])
def test_descriptions_survive_writing_and_reading(text: str) -> None:
    policy = Policy(description=text)
    assert parse_policy(policy.to_yaml()) == policy


def test_overrides_that_surely_meet_are_refused_when_the_file_is_loaded() -> None:
    text = "reuse: {threshold: always}\nstacks:\n  d*: {compute: F0B0}\n  double_blocks: {reuse: {threshold: 0.2}}"
    assert findings(text).startswith("p.yaml:5:18: error[signal-needs-front]: compute: signal `residual`")


def test_an_override_is_judged_together_with_the_globs_that_it_falls_under() -> None:
    parse_policy(
        "version: 1\nstacks:\n  single_blocks: {compute: F0B0, predict: {order: 3}}\n"
        "  single_*: {reuse: {threshold: always}, predict: taylor}\n"
    )
    assert "signal-needs-front" in findings("stacks:\n  b*: {compute: F0B0}\n  a*: {reuse: {threshold: always}}")
