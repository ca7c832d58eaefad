"""No code is shown to a user that has no page and no case: what the package's sources say is held against the catalogue."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import cachedsl
from cachedsl.checking.catalogue import all_rules
from tests.rules.cases import FOLDER, read_cases

PACKAGE = Path(cachedsl.__file__).parent
ROOT = Path(__file__).parents[2]
CODES = {rule.code for rule in all_rules()}
PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
WRITTEN = re.compile(r"\b(?:error|warning)\[([a-z][a-z0-9-]*)\]")
"""A code as it stands in output."""


@lru_cache(maxsize=1)
def _calls() -> tuple[tuple[str, str, ast.Call], ...]:
    """Return every call in the package: the file, what is called, and the call."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                found.append((path.relative_to(PACKAGE).as_posix(), name, node))
    return tuple(found)


def _rules() -> Iterator[tuple[str, str]]:
    """Yield the file and the code of every rule that is made anywhere in the package."""
    for file, name, call in _calls():
        if name == "Rule":
            first = call.args[0] if call.args else next(one.value for one in call.keywords if one.arg == "code")
            assert isinstance(first, ast.Constant), f"{file}:{call.lineno}: a rule's code is written out"
            assert isinstance(first.value, str)
            yield file, first.value


@pytest.mark.parametrize(("file", "code"), [pytest.param(*one, id=one[1]) for one in _rules()])
def test_every_rule_that_is_made_anywhere_has_a_page_and_cases(file: str, code: str) -> None:
    assert code in CODES, f"{file} makes the rule `{code}`, which `cachedsl rule {code}` does not know"
    assert f"\n## {code}\n" in PAGE
    assert (FOLDER / f"{code}.yaml").is_file()
    cases = read_cases(code)
    assert all(f"[{code}]: " in case["says"] for case in cases["triggers"])
    assert cases["triggers"]
    assert cases["near_misses"]


def test_the_sources_have_every_rule_once() -> None:
    made = [code for _, code in _rules()]
    assert sorted(made) == sorted(CODES)


def test_nothing_is_shown_with_a_code_but_what_a_rule_found() -> None:
    """A finding, or the warning of a run, that is made without a rule would have a code that nobody explains."""
    assert {file for file, name, _ in _calls() if name == "Finding"} == {"text/finding.py"}
    records = [call for _, name, call in _calls() if name == "WarningRecord"]
    assert records
    for call in records:
        code = call.args[1]
        assert isinstance(code, ast.Attribute)
        assert code.attr == "code"
    assert {file for file, name, _ in _calls() if name == "Diagnostic"} == {"lsp/diagnostics.py"}
    for file, _, call in _calls():
        for keyword in call.keywords:
            value = keyword.value
            if keyword.arg == "code" and isinstance(value, ast.Constant) and isinstance(value.value, str):
                assert value.value in CODES, f"{file}:{call.lineno}"


def test_every_code_that_the_documentation_shows_is_one() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = {page.name: page.read_text(encoding="utf-8") for page in pages}
    shown = {(name, code) for name, text in texts.items() for code in WRITTEN.findall(text)}
    shown |= {(name, code) for name, text in texts.items() for code in re.findall(r"rules\.md#([a-z0-9-]+)", text)}
    assert len(shown) > 5
    assert {one for one in shown if one[1] not in CODES} == set()
