"""The schema of adapters accepts exactly what the loader does, but for rules over several keys."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl.language.misfit import Misfit, Misfits
from cachedsl.language.part import part_of
from cachedsl.matching.adapter import Adapter
from cachedsl.matching.patterns import PATTERNS
from cachedsl.matching.reading import read_adapter
from cachedsl.matching.schema import adapter_schema
from tests.schemas.mutate import mutate
from tests.schemas.validate import Validator

VALIDATOR: Any = Validator(adapter_schema())
names = st.text(st.sampled_from("ab_.0 -\n\u2028\u00a0σ$"), max_size=4)
arguments = st.sampled_from(["x", "hidden_states", "σ2", "_"])
paths = st.sampled_from(["blocks", "blocks.0.layers", "0.x", "body-steps"])
counts = st.integers(1, 60)


def some(required: dict[str, Any], optional: dict[str, Any]) -> Any:
    return st.fixed_dictionaries(required, optional={name: st.none() | one for name, one in optional.items()})


modulated = st.fixed_dictionaries({"argument": arguments}) | some(
    {"module": paths, "arguments": st.dictionaries(arguments, arguments, min_size=1)}, {"output": st.integers(0, 3)}
)
stacks = some(
    {"pattern": st.sampled_from(sorted(PATTERNS))},
    {
        "hidden": arguments,
        "encoder": arguments,
        "between": st.sampled_from(["apply", "reuse", "keep"]),
        "long_skips": st.booleans(),
        "modulated_input": modulated,
        "blocks": counts,
    },
)
inputs = some(
    {}, {"latent": arguments, "positions": arguments, "axes": st.lists(st.integers(1, 9), min_size=1, unique=True)}
)
transformers = some(
    {"cfg": st.sampled_from(["fused", "separate"]), "stacks": st.dictionaries(paths, stacks, min_size=1, max_size=2)},
    {"pipelines": st.lists(st.sampled_from(["FluxPipeline", "P"]), max_size=2), "input": inputs},
)
counted = st.dictionaries(paths, counts, min_size=1, max_size=2)
components = st.dictionaries(st.sampled_from(["transformer", "transformer_2"]), counted, min_size=1)
adapters = some(
    {
        "family": st.sampled_from(["flux", "a b"]),
        "transformers": st.dictionaries(st.just("A"), transformers, min_size=1),
    },
    {"verified": st.sampled_from(["", "0.42.1"]), "models": st.dictionaries(st.just("m"), components)},
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12),
    st.sampled_from([0.5, 2.0, 1e6, 1e6 + 1, 10**30, 1e300, float("nan"), float("inf")]),
    names,
    st.sampled_from(["", "fused", "keep", "hidden_only", "x", "a.b", "a..b", "x\n"]),
    st.lists(st.integers(0, 10) | names, max_size=3),
    st.dictionaries(st.sampled_from(["pattern", "argument", "module", "blocks", "x"]), st.integers(0, 3) | names),
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    tree = copy.deepcopy(draw(adapters))
    for _ in range(draw(st.integers(0, 2))):
        mutate(tree, draw, names | st.sampled_from(["blocks", "verified", "axes", "output"]), values)
    return tree


def refused(tree: Any) -> set[str]:
    """Return the codes of what the loader refuses."""
    try:
        part_of(Adapter).read(tree)
    except Misfit as misfit:
        return {misfit.code}
    except Misfits as several:
        return {misfit.code for misfit in several.found}
    return set()


@given(mutated())
@settings(max_examples=1000, deadline=None)
def test_schema_and_loader_agree_on_every_value(tree: Any) -> None:
    codes = refused(tree)
    assert VALIDATOR.is_valid(tree) == (not codes - {"adapter"}), (tree, codes)


@given(adapters)
@settings(max_examples=100, deadline=None)
def test_an_adapter_that_holds_is_read_and_written_back(tree: Any) -> None:
    assert VALIDATOR.is_valid(tree)
    adapter = part_of(Adapter).read(tree)
    assert read_adapter(adapter.to_yaml(), "a.yaml") == adapter
