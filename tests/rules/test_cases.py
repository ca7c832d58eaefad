"""Every rule has a page, a trigger, a near miss and its exact text; fixes do what they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cachedsl.checking.catalogue import all_rules
from cachedsl.checking.check import Checked
from cachedsl.lower.compile import compile_policy
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.edit import apply_fixes
from cachedsl.text.finding import CATEGORIES, PolicyError
from tests.rules.cases import FOLDER, Case, checked, findings_of, lines_of, read_cases, write_cases

RULES = {rule.code: rule for rule in all_rules()}
SHAPE = ModelShape([StackShape("blocks", 60)], "a model")
PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def test_every_rule_has_cases_and_every_case_a_rule() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(RULES)


@pytest.mark.parametrize("code", RULES)
def test_a_rule_has_a_page(code: str) -> None:
    rule = RULES[code]
    assert rule.category in CATEGORIES
    assert rule.summary
    assert not rule.summary.endswith(".")
    assert rule.why.endswith(".")
    assert rule.bad
    assert rule.good
    assert rule.bad != rule.good
    assert not rule.fix or rule.fix.endswith(".")
    assert f"\n## {code}\n" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("code", RULES)
def test_a_rule_says_what_it_finds_and_no_more(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = read_cases(code)
    assert cases["triggers"]
    assert cases["near_misses"]
    anew = bool(os.environ.get("UPDATE_GOLDEN"))
    for kind in ("triggers", "near_misses"):
        for number, case in enumerate(cases[kind]):
            folder = tmp_path / f"{kind}-{number}"
            folder.mkdir()
            monkeypatch.chdir(folder)
            found = [] if "convert" in case else [one for one in findings_of(case, folder) if one.code == code]
            lines = lines_of(code, case, folder) if "convert" in case else [one.render() for one in found]
            says = "".join(f"{line}\n".replace(f"{folder}/", "") for line in lines)
            if kind == "near_misses":
                assert says == ""
                continue
            fixed = _fixed(code, case, folder) if any(one.fix for one in found) else None
            if anew:
                case["says"] = says
                case.update({} if fixed is None else {"fixed": fixed})
            assert case.get("says") == says != ""
            assert case.get("fixed") == fixed, "a fix has its text under `fixed`"
    if anew:
        write_cases(code, cases)


def _fixed(code: str, case: Case, folder: Path) -> str:
    """Return the text after the rule's fixes; made twice they change nothing, and safe ones keep the plan."""
    rule = RULES[code]
    name = case.get("name", "policy.yaml")
    before = (folder / name).read_text(encoding="utf-8")
    first = _of(checked(case, folder), name)
    mine = [one for one in first.findings if one.code == code and one.span.file.endswith(name)]
    assert all(one.fix is None or rule.fix for one in mine), "a rule that offers a fix says so: Rule(fix=...)"
    text, applied = apply_fixes(before, mine, unsafe=True)
    (folder / name).write_text(text, encoding="utf-8", newline="")
    again: dict[str, Any] = {**case, "policy": text}
    again.pop("repeat", None)
    second = _of(checked(again, folder), name)
    left = [one for one in second.findings if one.code == code]
    assert apply_fixes(text, left, unsafe=True)[0] == text, "a fix leaves nothing for itself to fix"
    assert [one for one in second.findings if one.severity == "error" and one.fix is None] == [
        one for one in first.findings if one.severity == "error" and one.fix is None
    ]
    if all(one.fix is not None and one.fix.safe for one in applied):
        before_plan, after_plan = _plan(first, case), _plan(second, case)
        assert before_plan in (None, after_plan), "a safe fix keeps the plan"
    comments = [line.partition("#")[2].partition("# cachedsl: ")[0] for line in before.splitlines() if "#" in line]
    comments = [comment.strip() for comment in comments if not comment.startswith(" cachedsl: ")]
    assert all(comment in text for comment in comments), "a fix keeps the comments"
    return text


def _of(found: list[Checked], name: str) -> Checked:
    return next(one for one in found if one.file.endswith(name))


def _plan(one: Checked, case: Case) -> str | None:
    """Return the plan of what was checked, without its name; None where it has errors or does not fit."""
    policy = None if one.policy is None else one.policy.policy
    if policy is None:
        return None
    try:
        plan = compile_policy(policy, SHAPE, case.get("steps", 28))
    except PolicyError:
        return None
    return plan.to_json().replace(f'"{policy.name}"', '""')
