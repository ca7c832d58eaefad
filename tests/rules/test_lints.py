"""Lints together: fixes keep the plan, bundled policies are clean, what a parent does is said where it is extended."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cachedsl import PolicyError
from cachedsl.checking.catalogue import all_rules
from cachedsl.checking.check import Checked, check_source
from cachedsl.checking.fixing import fix_source
from cachedsl.checking.models import held_on
from cachedsl.checking.run import Options, Run
from cachedsl.checking.sources import Source, source_of_text
from cachedsl.loading import bundled_policies, parse_policy
from cachedsl.lower.compile import outline
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.rules.registry import checks
from cachedsl.text.document import parse_document
from cachedsl.text.finding import CATEGORIES

SHAPE = ModelShape([StackShape("blocks", 60), StackShape("single_blocks", 40)], "a model")
POLICIES = Path(__file__).parents[2] / "policies"
OPT_IN = [rule.code for rule in all_rules() if rule.opt_in]
LINTS = [*dict.fromkeys(check.rule for check in checks() if check.is_lint)]
ENTRIES: dict[str, list[str]] = {
    "name": ["name: on", "name: other  # named"],
    "description": ["description: For tests.", 'description: ""'],
    "extends": ["extends: f8b0.yaml", "extends: f8b8-taylor  # the parent", "extends: f4b0-mc3"],
    "compute": ["compute: F8B0", "compute:\n  # blocks\n  front: 8\n  back: 0", "compute: {front: 4, back: 0}"],
    "warmup": ["warmup: 8", "warmup: 010  # ten", "warmup:\n  steps: 4\n  interval: 1  # each", "warmup: {steps: 4}"],
    "tail": ["tail: 0", "tail: 2  # settled", "tail: null"],
    "reuse": [
        "reuse: {threshold: 0.12, max_continuous: 3}",
        "reuse:\n  threshold: always  # as published\n  signal: probe\n  max_continuous: 0",
        "reuse:\n  threshold: 0\n  max_total: 3\n  max_continuous: 5",
        "reuse: {threshold: 0.1, max_continuous: 3, max_accumulated: {limit: 2}}  # sums",
        "reuse: {max_total: null, signal: residual}",
    ],
    "predict": [
        "predict: {method: taylor, order: 1, horizon: 9}",
        "predict:\n  method: taylor\n  # far\n  horizon: 5\n  target: residual",
        "predict: {method: copy}",
    ],
    "cfg": ["cfg: auto", "cfg: {mode: fused, decision: follow_first}", "cfg: {mode: separate}  # calls"],
    "steps": ["steps: {every: 4, otherwise: static}", "steps: null  # none"],
    "refresh": ["refresh: {at: 12, repeat: false}", "refresh: null"],
    "prune": ["prune: {keep: [1, 20]}", "prune: null"],
    "span": ["span: stack", "span: joined"],
    "stacks": ["stacks: {single_*: {}}  # all", "stacks:\n  a: {}\n  single_blocks: {tail: 1}"],
}


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw the text of a policy that says much that it need not say, in any order and with comments."""
    keys = draw(st.lists(st.sampled_from(sorted(ENTRIES)), unique=True, min_size=1, max_size=7))
    lines = [draw(st.sampled_from(ENTRIES[key])) for key in keys]
    lines.insert(draw(st.integers(0, len(lines))), "version: 1  # the language")
    return "# head\n" + "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n# foot\n"]))


def _look(source: Source) -> Checked:
    return check_source(source, asked=OPT_IN)


def _source(text: str) -> Source:
    like = Source(parse_document(text, "policy.yaml"), text, Path("policy.yaml"), named=True)
    return source_of_text(text, like)


def _plan(text: str) -> object | None:
    """Return what the plan follows from, None where the policy does not hold or does not compile."""
    try:
        return outline(parse_policy(text, "policy.yaml"), SHAPE, 28)
    except PolicyError:
        return None


def _order(text: str) -> list[Any]:
    root = parse_document(text, "policy.yaml").root
    assert root is not None
    return list(root.keys)


@settings(max_examples=60)
@given(texts())
def test_fixes_keep_the_plan_the_comments_and_the_order(text: str) -> None:
    plan = _plan(text)
    assume(plan is not None)
    for unsafe in (False, True):
        fixed = fix_source(_look(_source(text)), _look, unsafe)
        if fixed is None:
            continue
        if not unsafe:
            assert _plan(fixed.text) == plan
        assert _plan(fixed.text) is not None
        assert fix_source(_look(_source(fixed.text)), _look, unsafe) is None, "nothing is left to fix"
        before = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
        assert all(f"#{comment}" in fixed.text for comment in before)
        left = _order(fixed.text)
        assert left == [key for key in _order(text) if key in left]


def test_every_fix_is_met_by_the_property() -> None:
    met = set()
    for texts_ in ENTRIES.values():
        for text in texts_:
            met |= {found.code for found in _look(_source(f"version: 1\n{text}\n")).findings if found.fix}
    parts = "version: 1\nextends: f8b8-taylor\nwarmup: 8\nreuse: {max_continuous: 3}\npredict: {horizon: 5}\n"
    met |= {found.code for found in _look(_source(parts)).findings if found.fix}
    static = "version: 1\nreuse: {threshold: 0.12}\nsteps: {every: 4, otherwise: static}\n"
    met |= {found.code for found in _look(_source(static)).findings if found.fix}
    assert {rule.code for rule in LINTS if rule.fix} <= met


def test_there_are_thirty_rules_in_every_category_beyond_errors() -> None:
    assert len(LINTS) >= 30
    assert {rule.category for rule in LINTS} == set(CATEGORIES)


@pytest.mark.parametrize("name", bundled_policies())
def test_bundled_policies_are_clean(name: str) -> None:
    path = str(POLICIES / f"{name}.yaml")
    for steps in ((), (28,)):
        options = Options(select=("all", *OPT_IN), held=held_on([], steps) or None)
        (one,) = Run([path], io.BytesIO(), options).examine()
        assert [str(found) for found in one.findings] == []


def test_what_a_parent_does_is_said_where_it_is_extended() -> None:
    def found(text: str) -> list[str]:
        return [str(one) for one in _look(_source(text)).findings if one.code == "back-forecast"]

    assert found("version: 1\nextends: f8b8-taylor\ntail: 1\n") == [], "it is the parent's, and said there"
    (said,) = found("version: 1\nextends: f8b8\npredict: taylor\n")
    assert said.startswith("policy.yaml:2:10: warning[back-forecast]: compute: 8 back blocks")


def test_a_rule_that_is_opt_in_is_chosen_by_its_code_alone() -> None:
    source = _source("version: 1\nwarmup: 4\n")
    assert check_source(source).findings == ()
    assert [one.code for one in check_source(source, asked=["no-description"]).findings] == ["no-description"]
    assert check_source(source, asked=["style", "all"]).findings == ()
