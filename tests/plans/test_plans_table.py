"""The `plans` table of pyproject.toml: what it may say, and what is said of what it may not."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cachedsl.checking.plans_table import PlansEntry, nearest_table, read_table
from cachedsl.checking.run import Options, Run
from cachedsl.loading import load_policy
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.reading import find_adapter
from cachedsl.rules.budget import in_bytes
from cachedsl.text.finding import PolicyError

GOOD = """
[project]
name = "x"

[[tool.cachedsl.plans]]
policy = "policies/*.yaml"
model = ["flux", "wan"]
steps = 28

[[tool.cachedsl.plans]]
policy = "policies/fast.yaml"
model = "FluxTransformer2DModel"
steps = [4, 8]
folder = "plans/few"
"""


def test_the_table_of_the_nearest_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(GOOD)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    table = nearest_table(inner)
    assert table is not None
    assert table.root == tmp_path
    assert table.entries == (
        PlansEntry("policies/*.yaml", ("flux", "wan"), (28,)),
        PlansEntry("policies/fast.yaml", ("FluxTransformer2DModel",), (4, 8), "plans/few"),
    )
    assert [entry.span.line for entry in table.entries] == [5, 10]


def test_an_entry_is_found_by_the_policies_that_it_holds(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(GOOD)
    (tmp_path / "policies").mkdir()
    for name in ("fast", "slow"):
        (tmp_path / "policies" / f"{name}.yaml").write_text("version: 1\n")
    table = nearest_table(tmp_path)
    assert table is not None
    assert table.of(tmp_path / "policies" / "fast.yaml") == table.entries
    assert table.of(tmp_path / "policies" / "slow.yaml") == table.entries[:1]
    assert table.of(tmp_path.parent / "elsewhere.yaml") == ()


def test_without_a_table_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.cachedsl]\nignore = []\n")
    assert nearest_table(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[tool]\ncachedsl = 3\n")
    assert nearest_table(tmp_path) is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('policy = "p.yaml"\nmodle = "flux"\nsteps = 28', "plans: unknown key `modle` (did you mean `model`?)"),
        ('policy = "p.yaml"\nsteps = 28', '`model` is missing (such as model = "flux")'),
        ('policy = "/p.yaml"\nmodel = "flux"\nsteps = 28', "policy: expected a path below this folder, got '/p.yaml'"),
        ('policy = "p.yaml"\nmodel = "flux"\nsteps = 28\nfolder = "../x"', "folder: expected a path below"),
        ('policy = "p.yaml"\nmodel = []\nsteps = 28', "model: expected a model's name, or a list of names, got []"),
        ('policy = "p.yaml"\nmodel = "flux"\nsteps = [28, true]', "steps: expected a step count from 1 to 10000"),
        ('policy = "p.yaml"\nmodel = "flux"\nsteps = 0', "steps: expected a step count from 1 to 10000"),
    ],
)
def test_what_an_entry_may_not_say(entry: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.x]\n\n[[tool.cachedsl.plans]]\n{entry}\n")
    with pytest.raises(PolicyError) as caught:
        nearest_table(tmp_path)
    assert [found.code for found in caught.value.findings] == ["bad-plans-table"] * len(caught.value.findings)
    assert str(caught.value.findings[0]).startswith("pyproject.toml:3:1: error[bad-plans-table]: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GiB", 4 * 2**30), ("1.5 GB", 1.5e9), ("800 MiB", 800 * 2**20), ("12B", 12), ("7kB", 7000), ("0GiB", 0)],
)
def test_sizes(text: str, expected: float) -> None:
    assert in_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "4", "GiB", "4 gib", "-4GiB", "4GiBs", "1e3GiB", ".GiB", "4,5GiB", "nanGiB"])
def test_what_is_no_size(text: str) -> None:
    assert in_bytes(text) is None


def test_a_budget_holds_for_the_models_of_its_entry_and_bytes_are_those_of_the_plan(tmp_path: Path) -> None:
    memory = '{budget = "BUDGET", hidden = [1, 4096, 3072], encoder = [1, 512, 3072]}'
    policy = load_policy("f8b8-taylor")
    plan = compile_policy(policy, find_adapter("flux").shape(), 28)
    held = plan.memory({"hidden": (1, 4096, 3072), "encoder": (1, 512, 3072)}).total
    (tmp_path / "p.yaml").write_text("version: 1\nextends: f8b8-taylor\nname: p\ntail: 1\n")
    for budget, found in ((held - 1, ["memory-budget"]), (held, [])):
        entry = GOOD.partition("[[")[0] + '[[tool.cachedsl.plans]]\npolicy = "p.yaml"\nmodel = "flux"\nsteps = 28\n'
        (tmp_path / "pyproject.toml").write_text(f"{entry}memory = {memory.replace('BUDGET', f'{budget}B')}\n")
        options = Options(select=("memory-budget",))
        (one,) = Run([str(tmp_path / "p.yaml")], io.BytesIO(), options).examine()
        assert [finding.code for finding in one.findings] == found


def test_what_is_no_table_and_no_toml(tmp_path: Path) -> None:
    assert "expected entries [[tool.cachedsl.plans]], got 'plans'" in str(read_table("plans")[1][0])
    (tmp_path / "pyproject.toml").write_text("[tool.cachedsl]\nplans = [\n")
    with pytest.raises(PolicyError, match=r"pyproject.toml:\d+:\d+: error\[bad-plans-table\]: no TOML"):
        nearest_table(tmp_path)
