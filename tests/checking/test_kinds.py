"""What a file is taken for."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cachedsl.checking.check import Checked
from cachedsl.checking.kinds import OWN, POLICY, classify
from cachedsl.checking.run import Options, Run
from cachedsl.checking.sources import source_of

OURS = "# yaml-language-server: $schema=../schemas/{}.schema.json\n"


def kind(text: str | bytes) -> str:
    return classify(source_of(text if isinstance(text, bytes) else text.encode()))


def test_the_keys_that_are_ours_alone() -> None:
    assert {
        "compute",
        "warmup",
        "tail",
        "reuse",
        "predict",
        "cfg",
        "refresh",
        "prune",
        "span",
        "stacks",
    } == OWN
    assert {"version", "name", "description", "extends", "steps", "runtime", "features"} == POLICY - OWN


@pytest.mark.parametrize("key", sorted(OWN))
def test_one_key_of_ours_makes_a_policy(key: str) -> None:
    assert kind(f"{key}: 1\nservices: {{}}\n") == "policy"
    assert kind(f"verison: 1\n{key}: 1\n") == "policy"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\n", "policy"),
        ("version: 1\nname: x\nextends: f8b0\n", "policy"),
        ("version: 1\nname: x\nsteps: {every: 2}\nwarmpu: 4\n", "policy"),
        ("version: 1\npredicts: taylor\n", "policy"),
        ("name: x\nstack: heroku-22\n", "stranger"),
        ("version: 1\nname: x\nstack: heroku-22\nbuild: {}\n", "stranger"),
        ("name: x\nsteps: {every: 2}\n", "policy"),
        ("runtime: python39\nservice: x\n", "stranger"),
        (OURS.format("policy") + "anything: 1\n", "policy"),
        (OURS.format("policy"), "policy"),
        ('{"$schema": "https://cachedsl.dev/schemas/policy.schema.json", "a": 1}', "policy"),
        (OURS.format("adapter") + "anything: 1\n", "adapter"),
        ("family: x\ntransformers: {}\n", "adapter"),
        ("transformers: {A: {}}\n", "adapter"),
        ("family: x\nmodels: {}\nwarmup: 3\n", "adapter"),
        ("family: x\nwarmup: 3\ntail: 2\n", "policy"),
        ("ratios: [1.0]\n", "ratios"),
        ("ratios: [1.0]\nversion: 1\n", "ratios"),
        ("ratios: [1.0]\ncompute: F8B0\n", "policy"),
        ("ratios: [1.0]\nmargins: 3\n", "stranger"),
        ('{"format": "cachedsl.plan"}', "plan"),
        ("format: cachedsl.plan\nversion: 9\n", "plan"),
        ("format: other\nversion: 9\n", "stranger"),
    ],
)
def test_whole_files(text: str, expected: str) -> None:
    assert kind(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'version: "3.8"\nservices: {web: {image: nginx}}\n',
        "name: CI\non: [push]\njobs: {test: {steps: []}}\n",
        "version: 2\nupdates: []\n",
        "version: 1\nname: x\nsome: thing\n",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\ntransformers: [a.yaml]\n",
        "apiVersion: v2\nname: chart\nversion: 1.2.3\ndescription: x\n",
        "{{- if .Values.on }}\napiVersion: v1\nkind: Pod\n{{- end }}\n",
        "name: {{ .Values.name }}\nversion: {{ .Values.version }}\n",
        "{{ if .x }}\nversion: 1\n{{ end }}\n",
        "- a\n- b\n",
        "",
        "# yaml-language-server: $schema=https://json.schemastore.org/github-workflow.json\nname: x\non: push\n",
    ],
)
def test_strangers(text: str) -> None:
    assert kind(text) == "stranger"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\n\tx\n", "policy"),
        ("reuse: {threshold: 0.1\n", "policy"),
        ("a: [\ncompute: F8B0\nb: 3\n", "policy"),
        ('a: "\nwarmup: 3\n', "policy"),
        ("family: [\nmodels: 3\n", "adapter"),
        ("version: '3\nservices: {a: [\n", "stranger"),
        (b"# \xe9t\xe9\ncompute: F8B0\n", "policy"),
        (b"# \xe9t\xe9\nservices: 1\n", "stranger"),
        ("warmup: 3\n# \x07\n", "policy"),
        ("warmup: 3\n# \0\n", "policy"),
        (OURS.format("policy") + "a: [\n", "policy"),
        ("warmup: 3\n" + "#" * 2**20, "policy"),
        ('{\n  "format": "cachedsl.plan",\n  "version": 2,\n', "plan"),
    ],
)
def test_a_broken_file_is_what_it_still_shows(text: str | bytes, expected: str) -> None:
    assert kind(text) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("fast.cachedsl.yaml", "policy"),
        ("policies/fast.cachedsl.yml", "policy"),
        ("mine.cachedsl-adapter.yaml", "adapter"),
        ("cachedsl.yaml", "stranger"),
        ("policies/fast.yaml", "stranger"),
    ],
)
@pytest.mark.parametrize("text", ["warmpu: 4\n", "on: push\n", ""])
def test_a_name_that_is_ours_alone_tells_where_the_keys_do_not(file: str, expected: str, text: str) -> None:
    assert classify(source_of(text.encode(), file)) == expected


def test_a_file_that_the_plans_table_names_is_a_policy_where_its_keys_do_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"a.yaml": "on: push\n", "b.yaml": "family: mine\ntransformers: {}\n"}.items():
        (tmp_path / name).write_text(text)
    assert [one.kind for one in checked_here()] == ["stranger", "adapter"]
    (tmp_path / "pyproject.toml").write_text('[[tool.cachedsl.plans]]\npolicy = "*.yaml"\nmodel = "flux"\nsteps = 28\n')
    first, second = checked_here()
    assert (first.kind, second.kind) == ("policy", "adapter")
    assert "unknown-key" in [found.code for found in first.findings]
    assert [one.kind for one in checked_here("a.yaml", skip_others=True)] == ["policy"], "as for a hook"


def checked_here(*paths: str, skip_others: bool = False) -> list[Checked]:
    return Run(paths or (".",), io.BytesIO(), Options(skip_others=skip_others)).examine()


def test_what_a_file_holds_goes_before_its_name() -> None:
    text = b"family: mine\ntransformers: {}\n"
    assert classify(source_of(text, "mine.cachedsl.yaml")) == "adapter"
