"""`cachedsl plan`: one plan, and those that a repository keeps; `-o` of it and of `explain`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachedsl import compile_policy, load_policy
from cachedsl.cli.main import main
from cachedsl.matching.reading import find_adapter
from cachedsl.plan.ir import Plan

TABLE = '[[tool.cachedsl.plans]]\npolicy = "policies/*.yaml"\nmodel = "flux"\nsteps = [28]\nfolder = "plans"\n'


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base policy and one that extends it, with their plans kept."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(TABLE)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "base.yaml").write_text("version: 1\nwarmup: 4\nreuse: {threshold: 0.1}\n")
    (tmp_path / "policies" / "child.yaml").write_text("version: 1\nextends: base.yaml\ncompute: F4B0\n")
    assert run("plan", "--write").exit_code == 0
    return tmp_path


def test_a_plan_is_printed_or_written(tmp_path: Path) -> None:
    expected = compile_policy(load_policy("f8b0"), find_adapter("flux").shape(), 20).to_json()
    assert run("plan", "f8b0", "--model", "flux", "--steps", "20").output == expected
    file = tmp_path / "f8b0.json"
    assert run("plan", "f8b0", "--model", "flux", "--steps", "20", "-o", str(file)).output == ""
    assert file.read_text() == expected
    assert Plan.from_json(file.read_text()).num_inference_steps == 20


@pytest.mark.parametrize("command", [["plan", "--model", "dit", "--steps", "28"], ["explain", "--model", "dit"]])
def test_what_fails_leaves_the_file_as_it_was(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "golden.json"
    file.write_text("as it was")
    failed = run(command[0], "F16B16", *command[1:], "-o", str(file))
    assert failed.exit_code == 1
    assert "too-many-blocks" in failed.output
    assert file.read_text() == "as it was"
    assert run(*command[:1], "f8b0", *command[1:], "-o", str(tmp_path / "no" / "x")).exit_code == 2


def test_explain_writes_what_it_prints(tmp_path: Path) -> None:
    for form in ("text", "json", "mermaid", "words"):
        printed = run("explain", "f8b8-taylor", "--format", form).output
        assert run("explain", "f8b8-taylor", "--format", form, "-o", str(tmp_path / form)).exit_code == 0
        assert (tmp_path / form).read_text() == printed


def test_a_plan_needs_a_model_and_a_step_count() -> None:
    for arguments in (["f8b0"], ["f8b0", "--model", "flux"], ["--model", "flux", "--steps", "28"], []):
        refused = run("plan", *arguments)
        assert refused.exit_code == 2
        assert "name a policy, --model and --steps" in refused.output
    assert run("plan", "f8b0", "--write").exit_code == 2
    assert run("plan", "--write", "--check").exit_code == 2
    assert "did you mean 'flux'" in run("plan", "f8b0", "--model", "flx", "--steps", "28").output


def test_kept_plans_are_written_where_the_table_says(repository: Path) -> None:
    files = sorted(path.name for path in (repository / "plans").iterdir())
    assert files == ["base.flux.28.json", "child.flux.28.json"]
    assert run("plan", "--check").output == "2 plans compared: 2 unchanged\n"
    assert run("plan", "--write").output == "2 plans, 0 written, 0 removed\n"


def test_a_change_is_told_by_meaning_and_the_parent_that_caused_it_named(repository: Path) -> None:
    base = repository / "policies" / "base.yaml"
    base.write_text(base.read_text().replace("0.1", "0.3"))
    checked = run("plan", "--check")
    assert checked.exit_code == 1
    assert checked.output == (
        "policies/base.yaml on flux, 28 steps: changed\n"
        "  reuse.threshold: 0.1 → 0.3\n"
        "  blocks run: 38.3% to 100.0%\n"
        "\n"
        "policies/child.yaml on flux, 28 steps: changed\n"
        "  because of policies/base.yaml:3:20 (reuse.threshold), which policies/child.yaml extends\n"
        "  reuse.threshold: 0.1 → 0.3\n"
        "  blocks run: 26.3% to 100.0%\n"
        "\n"
        "2 plans compared: 2 changed\n"
        "`cachedsl plan --write` brings the plans up to date\n"
    )
    assert run("plan", "--write").exit_code == 0
    assert run("plan", "--check").exit_code == 0


def test_a_change_of_the_policy_itself_names_no_parent(repository: Path) -> None:
    child = repository / "policies" / "child.yaml"
    child.write_text(child.read_text().replace("F4B0", "F2B1"))
    output = run("plan", "--check").output
    assert "compute: F4B0 → F2B1" in output
    assert "because" not in output
    child.write_text("version: 1\nextends: base.yaml\n")
    assert (
        "because of compute, which neither policies/child.yaml nor policies/base.yaml writes"
        in run("plan", "--check").output
    )


def test_an_entry_of_a_parent_s_stacks_is_named(repository: Path) -> None:
    base = repository / "policies" / "base.yaml"
    base.write_text(base.read_text() + "stacks: {single_*: {warmup: 6}}\n")
    output = run("plan", "--check").output
    assert "because of policies/base.yaml:4:29 (warmup.steps), which policies/child.yaml extends" in output
    assert "warmup.steps: 4 → 6 [transformer.single_transformer_blocks]" in output


def test_a_plan_of_no_policy_is_stale(repository: Path) -> None:
    (repository / "policies" / "child.yaml").unlink()
    (repository / "plans" / "notes.json").write_text('{"mine": 1}')
    checked = run("plan", "--check")
    assert checked.exit_code == 1
    assert "stale: plans/child.flux.28.json belongs to no policy of the table" in checked.output
    assert "notes" not in checked.output
    assert "removed plans/child.flux.28.json" in run("plan", "--write").output
    assert (repository / "plans" / "notes.json").exists(), "what is no plan is not ours to remove"
    assert run("plan", "--check").exit_code == 0


def test_a_policy_that_does_not_hold_or_fit_is_refused_and_the_others_are_written(repository: Path) -> None:
    (repository / "policies" / "base.yaml").write_text("version: 1\nwarmup: 5\n")
    (repository / "policies" / "big.yaml").write_text("version: 1\ncompute: F40B40\n")
    written = run("plan", "--write")
    assert written.exit_code == 1
    assert "too-many-blocks" in written.output
    assert "wrote plans/base.flux.28.json" in written.output
    assert not (repository / "plans" / "big.flux.28.json").exists()
    assert json.loads((repository / "plans" / "base.flux.28.json").read_text())["rules"][0]["warmup"] == 5
    assert run("plan", "--check").exit_code == 1


def test_a_plan_that_is_damaged_or_of_another_form_is_told(repository: Path) -> None:
    file = repository / "plans" / "base.flux.28.json"
    whole = file.read_text()
    file.write_text(whole[:50])
    assert "plans/base.flux.28.json: not a plan: no JSON" in run("plan", "--check").output
    file.write_text(json.dumps(json.loads(whole)))
    assert "means the same, but is not written as this version" in run("plan", "--check").output
    assert run("plan", "--write").exit_code == 0
    assert file.read_text() == whole


def test_what_the_table_cannot_mean(repository: Path) -> None:
    (repository / "pyproject.toml").write_text(TABLE.replace("policies/*", "polices/*"))
    missing = run("plan", "--check")
    assert missing.exit_code == 1
    assert "pyproject.toml:1:1: error[bad-plans-table]: plans: no policy matches `polices/*.yaml`" in missing.output
    (repository / "more").mkdir()
    (repository / "more" / "base.yaml").write_text("version: 1\n")
    (repository / "pyproject.toml").write_text(TABLE + TABLE.replace("policies/*", "more/*"))
    assert (
        "policies/base.yaml and more/base.yaml would both be in plans/base.flux.28.json"
        in run("plan", "--write").output
    )
    (repository / "pyproject.toml").write_text("")
    assert run("plan", "--check").exit_code == 2


def test_bundled_policies_and_folders_below_a_pattern(repository: Path) -> None:
    (repository / "policies" / "video").mkdir()
    (repository / "policies" / "video" / "base.yaml").write_text("version: 1\n")
    deep = TABLE.replace("policies/*", "policies/**/*")
    (repository / "pyproject.toml").write_text(deep + TABLE.replace("policies/*.yaml", "f8b0"))
    assert run("plan", "--write").exit_code == 0
    files = {str(path.relative_to(repository / "plans")) for path in (repository / "plans").rglob("*.json")}
    assert files == {"base.flux.28.json", "child.flux.28.json", "video/base.flux.28.json", "f8b0.flux.28.json"}


def test_a_pattern_that_only_newer_pythons_take_is_taken(repository: Path) -> None:
    (repository / "pyproject.toml").write_text(TABLE.replace("policies/*", "policies/**"))
    assert run("plan", "--check").output == "2 plans compared: 2 unchanged\n"
    (repository / "pyproject.toml").write_text(TABLE.replace("policies/*.yaml", "policies"))
    assert "plans: `policies` is a folder (name its files: `policies/*.yaml`)" in run("plan", "--check").output


def test_a_plan_by_another_name_is_not_stale(repository: Path) -> None:
    """Such as the golden plan of a test, which docs/testing.md keeps in the same folder."""
    golden = repository / "plans" / "fast.json"
    golden.write_text((repository / "plans" / "base.flux.28.json").read_text())
    assert run("plan", "--check").exit_code == 0
    assert run("plan", "--write").output == "2 plans, 0 written, 0 removed\n"
    assert golden.exists()


def test_what_the_system_refuses_is_told_and_the_others_are_written(repository: Path) -> None:
    for name in ("base", "child"):
        (repository / "plans" / f"{name}.flux.28.json").unlink()
    (repository / "plans" / "base.flux.28.json").mkdir()
    refused = run("plan", "--write")
    assert refused.exit_code == 2
    assert "plans/base.flux.28.json cannot be written: is a directory\n" in refused.output
    assert "wrote plans/child.flux.28.json\n2 plans, 1 written, 0 removed\n" in refused.output
    checked = run("plan", "--check").output
    assert "  plans/base.flux.28.json cannot be read: is a directory\n" in checked


@pytest.mark.parametrize("command", [["explain", "{}"], ["plan", "{}", "--model", "flux", "--steps", "9"]])
def test_a_plan_that_is_named_as_a_policy_is_one_error(repository: Path, command: list[str]) -> None:
    named = "plans/base.flux.28.json"
    said = run(*(part.format(named) for part in command))
    assert (said.exit_code, said.output) == (
        1,
        f"{named}:7:3: error[unknown-key]: unknown key `format`: this file is a `cachedsl.plan`, and no policy (name the "
        "file of a policy)\n",
    )
    other = run("plan", "f8b0", "--model", named, "--steps", "9").output
    assert "this file is a `cachedsl.plan`, and no adapter (name the file of an adapter)" in other
