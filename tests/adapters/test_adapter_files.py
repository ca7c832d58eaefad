"""Adapter files have a schema of their own, and are checked like policies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cachedsl.cli.main import main
from cachedsl.matching.adapter import Adapter, AdapterError, StackAdapter, TransformerAdapter
from cachedsl.matching.reading import adapter_findings, load_adapter, read_adapter
from cachedsl.matching.schema import adapter_schema, key_table
from cachedsl.rules.adapter.modulated_input import RULES
from cachedsl.text.document import parse_document, read_document
from cachedsl.text.finding import Rule
from tests.golden import matches_golden

ROOT = Path(__file__).resolve().parents[2]
GOOD = "family: mine\ntransformers:\n  A:\n    cfg: fused\n    stacks: {b: {pattern: hidden_only}}\n"


def test_the_schema_is_made_from_the_keys() -> None:
    schema = adapter_schema()
    Draft202012Validator.check_schema(schema)
    matches_golden(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", ROOT / "schemas" / "adapter.schema.json")


def test_the_key_tables_are_made_from_the_keys() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    for name, cls in {"family": Adapter, "transformer": TransformerAdapter, "stack": StackAdapter}.items():
        head, rest = text.split(f"<!-- {name} -->\n")
        text = f"{head}<!-- {name} -->\n{key_table(cls)}<!-- /{name} -->{rest.split(f'<!-- /{name} -->')[1]}"
    matches_golden(text, ROOT / "docs" / "models.md")


@pytest.mark.parametrize("path", sorted((ROOT / "adapters").glob("*.yaml")), ids=lambda path: path.stem)
def test_bundled_adapters_hold(path: Path) -> None:
    document = read_document(path, path.name)
    assert adapter_findings(document) == ()
    assert document.root is not None
    assert Draft202012Validator(adapter_schema()).is_valid(document.root.plain())
    assert read_adapter(path.read_text(encoding="utf-8"), path.name).family.replace("-", "_") == path.stem


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_the_examples_of_a_rule(rule: Rule) -> None:
    assert [found.rule for found in adapter_findings(parse_document(rule.bad, "bad.yaml"))] == [rule]
    assert adapter_findings(parse_document(rule.good, "good.yaml")) == ()


BAD = {
    "family: mine\n": "a.yaml:1:1: error[missing-key]: key `transformers` is missing (expected a mapping of transformer classes)",
    GOOD.replace("cfg: fused", "cfg: both"): "a.yaml:4:10: error[bad-value]: transformers.A.cfg: expected `fused` or "
    "`separate`, got `both`",
    GOOD.replace("pattern: hidden_only", "pattern: hidden"): "a.yaml:5:27: error[bad-value]: "
    "transformers.A.stacks.b.pattern: expected `hidden_encoder`, `hidden_encoder_swapped`, `hidden_with_context`, `hidden_only`, `hidden_makes_encoder` or `hidden_makes_encoder_swapped`, got `hidden` (did you mean `hidden_only`?)",
    GOOD.replace(
        "{pattern: hidden_only}", "{patern: x, pattern: hidden_only}"
    ): "a.yaml:5:18: error[unknown-key]: unknown "
    "key `patern` in `transformers.A.stacks.b` (did you mean `pattern`? allowed: pattern, hidden, encoder, between, joins, long_skips, modulated_input, blocks)",
    GOOD.replace("stacks: {b:", "stacks: {b c:"): "a.yaml:5:14: error[bad-value]: transformers.A.stacks: expected the "
    "attribute path of a block list, got `b c`",
    GOOD + "family: twice\n": "a.yaml:6:1: error[duplicate-key]: ",
}


@pytest.mark.parametrize("text", BAD)
def test_findings_name_the_place(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(text)
    said = CliRunner().invoke(main, ["check", "a.yaml"])
    assert said.exit_code == 1
    assert said.output.startswith(BAD[text]), said.output
    assert said.output.endswith("1 adapter checked, 1 finding\n")


def test_policies_and_adapters_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter.yaml").write_text(GOOD)
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    said = CliRunner().invoke(main, ["check", str(tmp_path)])
    assert said.output.startswith("1 policy and 1 adapter checked, 0 findings\n")


@pytest.mark.parametrize("spec", ["{output: 0}", "{module: norm1, arguments: {x: x}, argument: temb}"])
def test_a_modulated_input_is_had_in_one_way(spec: str) -> None:
    with pytest.raises(AdapterError, match="takes `module` and `arguments`, or `argument` alone"):
        read_adapter(GOOD.replace("hidden_only}", f"hidden_only, modulated_input: {spec}}}"), "a.yaml")


@pytest.mark.parametrize("modulated", ["{module: norm, argument: temb}", "{output: 1}", "{module: norm}"])
def test_what_the_loader_refuses_is_found(modulated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["family: mine", "transformers:", "  A:", "    cfg: fused", "    stacks:"]
    lines.append(f"      b: {{pattern: hidden_only, modulated_input: {modulated}}}")
    Path("a.yaml").write_text("\n".join(lines) + "\n")
    said = CliRunner().invoke(main, ["check", "a.yaml"])
    assert said.exit_code == 1
    assert said.output.startswith(
        "a.yaml:6:50: error[adapter]: transformers.A.stacks.b.modulated_input: takes `module`"
    )
    with pytest.raises(AdapterError, match="takes `module` and `arguments`"):
        load_adapter("a.yaml")
