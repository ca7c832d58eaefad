"""The schema of a trace's lines accepts every record, and refuses what `Trace.from_jsonl` refuses."""

from __future__ import annotations

import json

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl.explain.schemas import trace_schema
from cachedsl.trace import Record, StepRecord, Trace, TraceError
from tests.schemas.mutate import mutate
from tests.schemas.validate import Validator
from tests.test_trace import runs, steps, warnings

VALIDATOR = Validator(trace_schema())
NAMES = st.sampled_from(["x", "kind", *(one.name for one in attrs.fields(StepRecord))])


@settings(max_examples=150, deadline=None)
@given(st.one_of(runs, steps, steps, warnings), st.data())
def test_a_mutated_line_is_refused_by_both_or_by_neither(record: Record, data: st.DataObject) -> None:
    tree = json.loads(Trace([record]).to_jsonl())
    VALIDATOR.validate(tree)
    mutate(tree, data.draw, NAMES)
    errors = [error.message for error in VALIDATOR.iter_errors(tree)]
    try:
        Trace.from_jsonl(json.dumps(tree))
    except TraceError as error:
        assert errors, error
    else:
        assert not errors
