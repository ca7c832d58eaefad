"""The schema and the loader agree: what an editor refuses, cachedsl refuses, and the other way round."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cachedsl.language.dump import to_tree
from cachedsl.language.keys import policy_schema
from cachedsl.language.policy import Policy
from cachedsl.rules.shape.reading import read_part
from cachedsl.text.document import parse_document
from tests.strategies import any_policies

VALIDATOR = Draft202012Validator(policy_schema())
DOCUMENT = parse_document("version: 1", "p.yaml")
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2_000_000),
    st.floats(-1, 2e6),
    st.sampled_from(["always", "taylor", "F1B0", "fast", "1101", "20%", "x", "", "separate", "residual", 2.0, 0]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["at", "method", "tap", "front", "limit", "order", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def accepted(tree: Any) -> bool:
    """Tell whether the loader takes the tree, apart from rules that no schema can say."""
    _, findings = read_part(DOCUMENT, Policy, tree)
    return not [finding for finding in findings if finding.code != "mask-runs"]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(tree, dict):
        found += [place for key, value in tree.items() for place in places(value, (*path, key))]
    elif isinstance(tree, list):
        found += [place for index, value in enumerate(tree) for place in places(value, (*path, index))]
    return found


@settings(max_examples=120, deadline=None)
@given(any_policies(), st.data())
def test_a_mutated_policy_is_refused_by_both_or_by_neither(policy: Policy, data: st.DataObject) -> None:
    tree = copy.deepcopy(to_tree(policy, full=data.draw(st.booleans())))
    assert VALIDATOR.is_valid(tree)
    assert accepted(tree)
    *outer, last = data.draw(st.sampled_from([place for place in places(tree) if place]))
    holder: Any = tree
    for step in outer:
        holder = holder[step]
    kind = data.draw(st.sampled_from(["replace", "drop", "add"]))
    if kind == "replace":
        holder[last] = data.draw(values)
    elif kind == "drop":
        del holder[last]
    elif isinstance(holder, dict):
        holder[data.draw(st.sampled_from(["x", "method", "bits", "tap"]))] = data.draw(values)
    errors = [error.message for error in VALIDATOR.iter_errors(tree)]
    assert accepted(tree) == (not errors), errors


@given(values)
@example({"at": [1], "power": None})
@example({"every": 2, "bits": "11"})
@example({"at": []})
@example(2.0)
@example(True)
def test_any_value_of_any_key_is_refused_by_both_or_by_neither(value: Any) -> None:
    for key in set(VALIDATOR.schema["properties"]) - {"$schema"}:  # which the loader takes out before
        tree = {"version": 1, key: value}
        assert accepted(tree) == VALIDATOR.is_valid(tree), key
