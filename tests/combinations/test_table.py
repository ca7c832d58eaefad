"""The table of docs/combinations.md is made of the tests."""

from __future__ import annotations

import re
from pathlib import Path

from tests.combinations.registry import combination, combinations, table
from tests.golden import matches_golden

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "combinations.md"


def test_the_table_is_that_of_the_tests() -> None:
    text = PAGE.read_text(encoding="utf-8")
    made = re.sub(
        r"(<!-- combinations -->\n).*?(<!-- /combinations -->\n)", lambda m: f"{m[1]}{table()}{m[2]}", text, flags=re.S
    )
    assert table() in made
    matches_golden(made, PAGE)
    assert len(combinations()) > 30
    assert any(one.refused for one in combinations())
    assert any(one.gpu for one in combinations())


def test_a_test_that_fails_is_no_proof() -> None:
    declared = combination("a", "b", means="x", refused="never raised")(lambda: None)
    silent = combination("a", "b", means="x", said="never said")(lambda: None)
    for test in (declared, silent):
        try:
            test()
        except BaseException as error:  # pytest's own failure is no Exception
            assert "never said" in str(error) or "DID NOT RAISE" in str(error) or "it is not said" in str(error)
        else:
            raise AssertionError("it passed")
