"""Traces go to JSON Lines and back as they are; a line that is no record says what is wrong with it."""

from __future__ import annotations

import json
import math
import pickle
import sys
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cachedsl.trace import Record, RunRecord, StepRecord, Trace, TraceError, UnitRecord, WarningRecord

UNIT = UnitRecord(0, "reused", "below", 0.05)
STEP = StepRecord(1, "transformer", "blocks", "cond", 3, "computed", "above", 0.25, 4, 8, (UNIT,))
RUN = RunRecord(1, "policy", 28)
WARNING = WarningRecord(1, "not-finite", "2 measurements were not finite")

texts = st.text(max_size=8)
wholes = st.integers(-(2**70), 2**70)
outcomes = st.sampled_from(["computed", "reused"])
values = st.none() | st.floats()
units = st.builds(UnitRecord, wholes, outcomes, texts, values)
steps = st.builds(
    StepRecord,
    *(wholes, texts, texts, texts, wholes, outcomes, texts, values, wholes, wholes),
    st.lists(units, max_size=3).map(tuple),
    wholes,
)
runs = st.builds(RunRecord, wholes, texts, st.none() | wholes, wholes)
warnings = st.builds(WarningRecord, wholes, texts, texts)


def told(records: list[Record]) -> list[Any]:
    """Return what can be compared: not-a-number is not equal to itself."""
    return [(type(record), repr(record)) for record in records]


@given(st.lists(st.one_of(runs, steps, warnings), max_size=5))
@example([STEP, attrs.evolve(STEP, value=math.nan, units=(attrs.evolve(UNIT, value=-math.inf),))])
@example([attrs.evolve(WARNING, message="a\u2028b\x85c\n\ud800")])
def test_what_is_written_is_read_back(records: list[Record]) -> None:
    text = Trace(records).to_jsonl()
    again = Trace.from_jsonl(text)
    assert told(again.records) == told(records)
    assert again.to_jsonl() == text
    assert Trace.from_jsonl(text.splitlines(keepends=True)).to_jsonl() == text
    for line in text.splitlines():
        json.loads(line, parse_constant=pytest.fail)


def line(record: Record, *without: str, **changed: Any) -> str:
    tree = {**json.loads(Trace([record]).to_jsonl()), **changed}
    return json.dumps({key: value for key, value in tree.items() if key not in without})


STEP_KEYS = "run, transformer, stack, branch, step, outcome, reason, value, blocks_run, blocks, units, loop"
BAD = {
    "{": "expected a record as JSON, got '{' (Expecting property name enclosed in double quotes at column 2)",
    "[1]": "expected a record, a JSON object, got [1]",
    "null": "expected a record, a JSON object, got None",
    "{}": "kind: expected 'run', 'step' or 'warning', got None",
    '{"kind": "sleep"}': "kind: expected 'run', 'step' or 'warning', got 'sleep'",
    '{"kind": ["run"]}': "kind: expected 'run', 'step' or 'warning', got ['run']",
    line(RUN, "policy"): "key 'policy' is missing",
    line(RUN, x=1): "unknown key 'x'; there are run, policy, num_inference_steps, loop",
    line(
        RUN, "policy", run=True, y=1
    ): "run: expected int, got True; key 'policy' is missing; unknown key 'y'; there are "
    "run, policy, num_inference_steps, loop",
    line(RUN, num_inference_steps=2.0): "num_inference_steps: expected int, got 2.0",
    line(WARNING, message=None): "message: expected str, got None",
    line(STEP, value="0.5"): "value: expected a number, 'nan', 'inf' or '-inf', got '0.5'",
    line(STEP, value="NaN"): "value: expected a number, 'nan', 'inf' or '-inf', got 'NaN'",
    line(STEP, value=False): "value: expected a number, 'nan', 'inf' or '-inf', got False",
    line(STEP, value=math.nan): "expected a record as JSON, got NaN, which is written as a string",
    line(
        STEP, value=10**400
    ): "value: expected a number within a float's range, got 100000000000000000...0000000000000000000",
    line(STEP, outcome="x" * 100): "outcome: expected 'computed' or 'reused', got 'xxxxxxxxxxxx...xxxxxxxxxxxxx'",
    line(STEP, units={}): "units: expected a list of units, got {}",
    line(STEP, units=""): "units: expected a list of units, got ''",
    line(STEP, units=[1]): "units.0: expected a mapping, got 1",
    line(
        STEP, units=[{"unit": 0, "outcome": [], "reason": "r"}]
    ): "units.0.outcome: expected 'computed' or 'reused', got []",
    line(STEP, units=[{"unit": 0, "outcome": "reused"}]): "units.0: key 'reason' is missing",
    line(STEP, units=[{}] * 9): "; and 22 more",
    line(
        STEP, "loop", step="\x1b[31m", z=1
    ): f"step: expected int, got '\\x1b[31m'; unknown key 'z'; there are {STEP_KEYS}",
}


@pytest.mark.parametrize("bad", BAD)
def test_a_line_that_is_no_record_says_what_was_expected_and_what_came(bad: str) -> None:
    text = Trace([RUN]).to_jsonl() + "\n" + bad + "\n" + Trace([STEP]).to_jsonl()
    with pytest.raises(TraceError) as caught:
        Trace.from_jsonl(text)
    said = str(caught.value)
    assert said.startswith("line 3: ")
    assert said.endswith(BAD[bad]) if BAD[bad].startswith(";") else said == f"line 3: {BAD[bad]}"
    assert said.isprintable()
    assert len(said) < 600
    assert str(pickle.loads(pickle.dumps(caught.value))) == said


@pytest.mark.parametrize("text", ["[" * 200_000, '{"kind": ' * 200_000, '{"kind": "run", "policy": ' + "[" * 200_000])
def test_values_nested_too_deep_are_no_record(text: str) -> None:
    with pytest.raises(TraceError, match=r"^line 1: expected a record, got values nested too deep to read$"):
        Trace.from_jsonl(text)


def test_a_number_of_too_many_digits_is_no_record() -> None:
    digits = "1" * (sys.get_int_max_str_digits() + 1 if hasattr(sys, "get_int_max_str_digits") else 10_000)
    with pytest.raises(TraceError, match=r"^line 1: "):
        Trace.from_jsonl(f'{{"kind": "run", "policy": "p", "num_inference_steps": null, "run": {digits}, "x": 1}}')


def test_what_is_no_text_is_no_record() -> None:
    rows: Any = [Trace([RUN]).to_jsonl(), 3]
    with pytest.raises(TraceError, match=r"^line 2: expected a line of text, got 3$"):
        Trace.from_jsonl(rows)


@given(st.text() | st.lists(st.text(), max_size=3))
def test_nothing_but_a_trace_error_is_raised(lines: Any) -> None:
    try:
        Trace.from_jsonl(lines)
    except TraceError as error:
        assert str(error).startswith("line ")


def test_printed_it_is_short() -> None:
    later = attrs.evolve(STEP, run=2, step=0)
    trace = Trace([RUN, STEP, attrs.evolve(STEP, branch="uncond"), RunRecord(2, "policy", None), later, WARNING])
    assert str(trace) == "2 runs, 2 steps, 1 warning"
    assert repr(trace) == "<Trace: 2 runs, 2 steps, 1 warning>"
    assert str(Trace()) == "0 runs, 0 steps, 0 warnings"
