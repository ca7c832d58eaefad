"""A message about a value shows of which type it is, where the type is what is wrong: `"8"` is not `8`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedsl import Policy, PolicyError
from cachedsl.checking.check import check_source
from cachedsl.checking.sources import Source
from cachedsl.convert.registry import convert
from cachedsl.language.kinds import Key, read_value
from cachedsl.language.misfit import Misfit, Misfits
from cachedsl.language.part import declared_keys
from cachedsl.language.refusals import describe
from cachedsl.loading import parse_policy
from cachedsl.text.document import parse_document
from cachedsl.text.edit import apply_fixes
from cachedsl.text.scalars import written

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats())


@given(SCALARS)
def test_no_text_is_described_as_another_value_is(value: Any) -> None:
    for text in (str(value), written(value), repr(value)):
        assert describe(text) != describe(value)
        assert describe(text, text) != describe(value, text)


def _keys(cls: Any = Policy, path: str = "") -> Iterator[tuple[str, Key]]:
    for name, key in declared_keys(cls).items():
        yield f"{path}{name}", key
        for inner in key.kind.parts():
            yield from _keys(inner, f"{path}{name}.")


KEYS = dict(_keys())


@pytest.mark.parametrize("name", KEYS)
def test_every_key_says_when_a_value_would_fit_without_its_quotes_or_with_them(name: str) -> None:
    kind = KEYS[name].kind
    for value in (8, 0.5, True, 1, 4.0):
        for given_, other in ((value, written(value)), (written(value), value)):
            try:
                read_value(kind, other)
            except (Misfit, Misfits):
                continue
            try:
                read_value(kind, given_)
            except Misfit as misfit:
                assert misfit.hint is not None, (given_, "would fit as", other)
                assert misfit.hint.startswith(("quote it, it is text and not ", "leave out the quotes, it is ")), given_


@pytest.mark.parametrize(
    ("text", "said", "fixed"),
    [
        ('warmup: "8"', 'got `"8"` (leave out the quotes, it is a number and not text: 8)', "warmup: 8"),
        ("warmup: '8'  # eight", "(leave out the quotes, it is a number and not text: 8)", "warmup: 8  # eight"),
        ('warmup: "eight"', "got `eight`", None),
        ('tail: "true"', 'got `"true"`', None),
        ("tail: true", "got `true`", None),
        ('tail: "null"', 'got `"null"`', None),
        ('tail: ""', 'got `""`', None),
        ('refresh: {at: 4, repeat: "no"}', "got `no`", None),
        (
            'refresh: {at: 4, repeat: "false"}',
            '`"false"` (leave out the quotes, it is true or false and not text: false)',
            "refresh: {at: 4, repeat: false}",
        ),
        ("name: 0x1f", 'got `0x1f` (quote it, it is text and not a number: "0x1f")', 'name: "0x1f"'),
        (
            "prune: {keep: ['1', 2]}",
            'prune.keep.0: expected a block index of at least 0, got `"1"`',
            "prune: {keep: [1, 2]}",
        ),
    ],
)
def test_a_file_is_told_and_mended(text: str, said: str, fixed: str | None) -> None:
    text = f"version: 1\n{text}\n"
    source = Source(parse_document(text, "policy.yaml"), text, None, named=True)
    (error,) = (found for found in check_source(source).findings if found.severity == "error")
    assert said in error.render()
    assert (error.fix is not None) == (fixed is not None)
    if fixed is not None:
        mended, _ = apply_fixes(text, [error])
        assert mended == f"version: 1\n{fixed}\n"
        parse_policy(mended, "policy.yaml")


def test_python_and_other_engines_settings_are_told_alike() -> None:
    with pytest.raises(PolicyError, match=r'got `"8"` \(leave out the quotes, it is a number and not text: 8\)'):
        Policy(warmup="8")  # type: ignore[arg-type]
    (found,) = convert('cache_config: {Fn_compute_blocks: "8"}\n', "cache.yaml").errors
    assert 'got `"8"` (leave out the quotes, it is a number and not text: 8)' in found.render()
