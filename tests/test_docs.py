"""Pages and schemas that are made from the code are what it makes, and their examples hold."""

from __future__ import annotations

import doctest
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import cachedsl
from cachedsl import bundled_policies
from cachedsl.checking.catalogue import all_rules
from cachedsl.checking.pages import rules_page
from cachedsl.cli.main import main
from cachedsl.convert.registry import engine_table
from cachedsl.language.keys import entries, key_table, method_table, policy_schema, tap_table
from cachedsl.language.methods import METHODS
from cachedsl.language.taps import TAPS
from cachedsl.loading import parse_policy
from cachedsl.machine.guards import STEP, UNIT, guard_table
from cachedsl.plan.ir import Plan
from cachedsl.plan.keys import machine_keys
from tests.golden import matches_golden

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SECTIONS: dict[tuple[str, str], Callable[[], str]] = {
    ("convert.md", "engines"): engine_table,
    ("language.md", "keys"): key_table,
    ("language.md", "taps"): tap_table,
    ("language.md", "methods"): method_table,
    ("machine.md", "rule keys"): machine_keys,
    ("machine.md", "step guards"): lambda: guard_table("step", 1),
    ("machine.md", "unit guards"): lambda: guard_table("unit", 1 + len(STEP)),
    ("machine.md", "value guards"): lambda: guard_table("value", 1 + len(STEP) + len(UNIT)),
}


@pytest.mark.parametrize("page", sorted({page for page, _ in SECTIONS}))
def test_the_generated_sections_of_a_page(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for (of, name), made in SECTIONS.items():
        if of == page:
            pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->\n)", re.S)
            assert len(pattern.findall(text)) == 1, f"{page} lacks the section {name}"
            text = pattern.sub(lambda match, made=made: f"{match[1]}{made()}{match[2]}", text)
    matches_golden(text, DOCS / page)


def test_the_schema_of_policies() -> None:
    schema = policy_schema()
    Draft202012Validator.check_schema(schema)
    matches_golden(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", ROOT / "schemas" / "policy.schema.json")


def test_every_key_says_what_it_holds_and_means() -> None:
    listed = list(entries())
    assert len({entry.path for entry in listed}) == len(listed) > 60
    assert all(entry.kind and entry.words.endswith(".") for entry in listed)
    assert all(tap.words and tap.family and tap.idea.endswith(".") for tap in TAPS.values())
    assert all(method.formula and method.exact_on and method.idea.endswith(".") for method in METHODS.values())


def test_every_example_of_the_pages_loads() -> None:
    pages = [*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    examples = [block for page in pages for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)]
    policies = [text for text in examples if re.search("^version:", text, re.M)]
    assert len(policies) >= 6
    for text in policies:
        parse_policy(text)


def test_the_page_of_policies() -> None:
    said = CliRunner().invoke(main, ["policies", "--markdown"])
    assert said.exit_code == 0
    matches_golden(said.output, DOCS / "policies.md")
    assert all(f"`{name}`" in said.output for name in bundled_policies())


def test_the_page_of_rules() -> None:
    matches_golden(rules_page(all_rules()), DOCS / "rules.md")
    said = CliRunner().invoke(main, ["rules", "--markdown"])
    assert said.output == (DOCS / "rules.md").read_text(encoding="utf-8")


def test_policies_are_listed() -> None:
    said = CliRunner().invoke(main, ["policies"])
    assert said.exit_code == 0
    assert all(name in said.output for name in bundled_policies())


def test_the_examples_of_the_python_interface_print_what_they_say() -> None:
    homes = [sys.modules[getattr(cachedsl, name).__module__] for name in cachedsl.__all__]
    ran = 0
    for module in {home.__name__: home for home in (*homes, sys.modules[Plan.__module__])}.values():
        failed, tried = doctest.testmod(module)
        assert not failed, module.__name__
        ran += tried
    assert ran > 20
