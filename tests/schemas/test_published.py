"""What is published is what the code makes, strict, explained, and such as SchemaStore and editors take it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from cachedsl import compile_policy
from cachedsl.explain.schemas import plan_schema, trace_schema
from cachedsl.language.dump import to_tree
from cachedsl.language.keys import policy_schema
from cachedsl.language.policy import Policy
from cachedsl.language.schemas import catalogue, draft_07
from cachedsl.loading import load_policy, parse_policy
from cachedsl.matching.schema import adapter_schema
from cachedsl.plan.codec import to_tree as plan_tree
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.adapters.test_schema import mutated as mutated_adapters
from tests.golden import matches_golden
from tests.schemas.mutate import mutate
from tests.schemas.validate import Validator, Validator07
from tests.strategies import any_policies

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
MADE: dict[str, Callable[[], Any]] = {
    "plan.schema.json": plan_schema,
    "trace.schema.json": trace_schema,
    "draft-07/policy.schema.json": lambda: draft_07(policy_schema()),
    "draft-07/adapter.schema.json": lambda: draft_07(adapter_schema()),
    "catalog.json": catalogue,
}


@pytest.mark.parametrize("name", MADE)
def test_a_published_file_is_what_the_code_makes(name: str) -> None:
    matches_golden(json.dumps(MADE[name](), indent=2, ensure_ascii=False) + "\n", SCHEMAS / name)


def inner(schema: Any) -> Iterator[Any]:
    """Yield a schema and every schema in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name in ("properties", "$defs", "definitions"):
        for below in schema.get(name, {}).values():
            yield from inner(below)
    for name in ("oneOf", "anyOf", "allOf", "prefixItems"):
        for below in schema.get(name, []):
            yield from inner(below)
    for name in ("items", "additionalItems", "additionalProperties", "propertyNames"):
        below = schema.get(name)
        for one in below if isinstance(below, list) else [below]:
            yield from inner(one)


@pytest.mark.parametrize("make", [plan_schema, trace_schema])
def test_every_key_is_known_and_said_in_words(make: Callable[[], Any]) -> None:
    schema = make()
    Draft202012Validator.check_schema(schema)
    objects = [one for one in inner(schema) if "properties" in one]
    assert len(objects) > 3
    for one in objects:
        assert one["additionalProperties"] is False
        assert one["description"].endswith(".")
        for name, said in one["properties"].items():
            assert said["description"].endswith("."), name
            assert said["description"][0] in "`" or said["description"][0].isupper()
            assert "None" not in said["description"]


KEYWORDS = set(Draft7Validator.META_SCHEMA["properties"])


@pytest.mark.parametrize("name", ["policy", "adapter", "plan", "trace", "check"])
def test_draft_07_has_none_but_its_own_keywords(name: str) -> None:
    made = draft_07(json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))
    Draft7Validator.check_schema(made)
    assert made["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert made["$id"] == f"https://cachedsl.dev/schemas/draft-07/{name}.schema.json"
    for one in inner(made):
        assert set(one) <= KEYWORDS
        assert "$ref" not in one or len(one) == 1, "draft-07 looks at nothing beside a reference"
        reference = one.get("$ref", "#/definitions/")
        assert reference.startswith("#/definitions/")
        assert reference.removeprefix("#/definitions/") in {"", *made.get("definitions", {})}
        # What ajv's strict mode wants, by which SchemaStore checks.
        assert not isinstance(one.get("type"), list) or (len(one["type"]) == 2 and "null" in one["type"])


def test_a_keyword_that_draft_07_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="unevaluatedProperties is not known"):
        draft_07({"$id": "https://cachedsl.dev/schemas/x.schema.json", "unevaluatedProperties": False})


POLICY, POLICY_07 = Validator(policy_schema()), Validator07(draft_07(policy_schema()))
ADAPTER, ADAPTER_07 = Validator(adapter_schema()), Validator07(draft_07(adapter_schema()))
PLAN, PLAN_07 = Validator(plan_schema()), Validator07(draft_07(plan_schema()))


@settings(max_examples=60, deadline=None)
@given(any_policies(), st.data())
def test_both_dialects_say_the_same_of_a_policy(policy: Policy, data: st.DataObject) -> None:
    tree = to_tree(policy, full=data.draw(st.booleans()))
    assert POLICY_07.is_valid(tree)
    mutate(tree, data.draw, st.sampled_from(["x", "at", "method", "tap", "limit", "front"]))
    assert POLICY.is_valid(tree) == POLICY_07.is_valid(tree)


@settings(max_examples=60, deadline=None)
@given(mutated_adapters())
def test_both_dialects_say_the_same_of_an_adapter(tree: Any) -> None:
    assert ADAPTER.is_valid(tree) == ADAPTER_07.is_valid(tree)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_both_dialects_say_the_same_of_a_plan(data: st.DataObject) -> None:
    tree = json.loads(F8B0)
    mutate(tree, data.draw, st.sampled_from(["x", "tap", "front"]))
    assert PLAN.is_valid(tree) == PLAN_07.is_valid(tree)


F8B0 = (SCHEMAS.parent / "tests" / "machine" / "golden" / "json" / "f8b8-taylor.json").read_text(encoding="utf-8")


def test_defaults_of_policies_are_those_of_the_loader() -> None:
    """A policy in which every default of the schema is written out is the policy without."""
    definitions = policy_schema()["$defs"]
    written = {
        part: {name: said["default"] for name, said in one["properties"].items() if "default" in said}
        for part in ("warmup", "reuse", "cfg")
        for one in [definitions[part], *definitions[part].get("oneOf", [])]
        if "properties" in one
    }
    assert written["warmup"]
    assert written["cfg"]["mode"] == "auto"
    said = json.dumps({"version": 1, **written})
    assert plan_of(parse_policy(said)) == plan_of(parse_policy("version: 1\n"))


def plan_of(policy: Policy) -> Any:
    plan = compile_policy(policy, ModelShape([StackShape("blocks", 28)], "m"), 28)
    return {**plan_tree(plan), "policy": ""}


OTHERS = [
    *("policy.yaml", "policies/fast.yaml", "policies.yml", "policies/base.yml", "adapter.yaml", "adapters/flux.yaml"),
    *("docker-compose.yml", ".github/workflows/policies.yml", "values.yaml", "cachedsl.yaml", "kyverno/policy.yaml"),
    *("plans/fast.flux.28.json", "pyproject.toml", "iam-policy.json", "cache.yaml", "dsl.yaml"),
]


def test_the_catalogue_takes_none_of_other_peoples_files_and_keeps_the_rules_of_schemastore() -> None:
    made = catalogue()
    globs = [glob for one in made["schemas"] for glob in one["fileMatch"]]
    assert len(set(globs)) == len(globs)
    assert [one["name"] for one in made["schemas"]] == sorted(one["name"] for one in made["schemas"])
    for name in OTHERS:
        assert not [glob for glob in globs if fnmatchcase(Path(name).name, glob)], name
    for one in made["schemas"]:
        assert set(one) == {"name", "description", "fileMatch", "url"}
        assert (SCHEMAS / one["url"].removeprefix("https://cachedsl.dev/schemas/")).is_file()
        for text in (one["name"], one["description"]):
            assert "schema" not in text.lower()
            assert text[-1] not in ",. \t-"
        for glob in one["fileMatch"]:
            assert "cachedsl" in glob
            assert "/" not in glob
            assert glob.endswith((".yaml", ".yml"))


def test_a_file_is_found_by_one_entry() -> None:
    (adapter, policy) = catalogue()["schemas"]
    for name, entry in (("fast.cachedsl.yaml", policy), ("mine.cachedsl-adapter.yml", adapter)):
        found = [one for one in (adapter, policy) if any(fnmatchcase(name, glob) for glob in one["fileMatch"])]
        assert found == [entry]


def test_what_tells_editors_the_kind_is_no_part_of_the_name(tmp_path: Path) -> None:
    file = tmp_path / "fast.cachedsl.yaml"
    file.write_text("version: 1\n")
    assert load_policy(file).name == "fast"
