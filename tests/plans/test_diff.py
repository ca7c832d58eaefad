"""What `diff` says of two plans is what differs between them, and nothing that does not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachedsl import PolicyError, bundled_policies, compile_policy, load_policy
from cachedsl.cli.main import main
from cachedsl.explain.diff import diff
from cachedsl.explain.diff_report import Compared, to_markdown, to_text, to_tree
from cachedsl.language.policy import Policy
from cachedsl.loading import parse_policy
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.strategies import policies

SHAPE = ModelShape([StackShape("double", 19, modulated=True), StackShape("single", 38, modulated=True)], "model")


def plan_of(text: str, steps: int | None = 12) -> Plan:
    return compile_policy(parse_policy(f"version: 1\n{text}\n"), SHAPE, steps)


def said(old: str, new: str) -> list[tuple[str, str, str]]:
    found = diff(plan_of(old), plan_of(new)).changes
    return [(".".join(c.key), f"{c.at}: {c.before}" if c.at else c.before, c.after) for c in found]


@settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(policies(), policies(), st.integers(1, 30))
def test_nothing_is_said_exactly_where_plans_are_the_same(one: Policy, other: Policy, steps: int) -> None:
    """The plan's JSON, which holds all that a run goes by, is the judge."""
    plans = []
    for policy in (one, other, attrs.evolve(one, name="renamed", description="other words")):
        try:
            plans.append(attrs.evolve(compile_policy(policy, SHAPE, steps), policy_name="p"))
        except PolicyError:
            return
    same = plans[0].to_json() == plans[1].to_json()
    assert bool(diff(plans[0], plans[1])) != same
    assert not diff(plans[0], plans[2])
    back = diff(plans[1], plans[0])
    assert {(c.what, c.key, c.after, c.before) for c in back.changes if c.what not in ("stacks", "steps")} == {
        (c.what, c.key, c.before, c.after)
        for c in diff(plans[0], plans[1]).changes
        if c.what not in ("stacks", "steps")
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("compute: F4B0", "compute: F2B1", [("compute", "F4B0", "F2B1")]),
        ("", "reuse: {threshold: 0.2}", [("reuse.threshold", "0.08", "0.2")]),
        ("", "reuse: {max_total: 5, max_accumulated: 2}", [
            ("reuse.max_total", "–", "5"), ("reuse.max_accumulated", "–", "2"),
        ]),
        ("warmup: 4", "warmup: 6", [
            ("warmup.steps", "4", "6"),
            ("steps", "steps 4-5: decided by measuring", "computed (warmup)"),
        ]),
        ("", "predict: {method: taylor, order: 2}", [("predict.method", "copy", "taylor of order 2")]),
        ("predict: taylor", "predict: {method: taylor, horizon: 3}", [("predict.horizon", "–", "3")]),
        ("", "reuse: {signal: {tap: residual, stride: 4}}", [("reuse.signal.stride", "1", "4")]),
        ("compute: F1B0", "{compute: F1B0, prune: {keep: [3]}}", [
            ("compute", "F1B0", "F1B0; each other block but 3 by itself"),
            ("reuse.signal", "residual", "block_input"),
            ("prune", "–", "update_interval 1"),
        ]),
        ("", "cfg: separate", [("cfg.mode", "auto", "separate")]),
        ("", "refresh: {at: 4, repeat: true}", [
            ("refresh.at", "–", "4"), ("refresh.repeat", "false", "true"),
            ("steps", "steps 8-11: decided by measuring", "computed (refresh, warmup)"),
        ]),
    ],
)  # fmt: skip
def test_each_change_is_said_by_the_key_that_makes_it(old: str, new: str, expected: list[Any]) -> None:
    if new.startswith("{"):
        new = "\n".join(f"{key}: {json.dumps(value)}" for key, value in yaml.safe_load(new).items())
    assert said(old, new) == expected


def test_a_change_of_some_stacks_says_which() -> None:
    found = diff(plan_of(""), plan_of("stacks: {single: {warmup: 3}}"))
    assert {c.stacks for c in found.changes} == {("transformer.single",)}
    assert "  warmup.steps: 8 → 3 [transformer.single]" in to_text([Compared("p", "changed", diff=found)])


def test_stacks_that_join_or_run_in_full() -> None:
    joined = diff(plan_of(""), plan_of("span: joined"))
    assert ("stacks", "each list by itself", "one chain") in [(c.what, c.before, c.after) for c in joined.changes]
    full = said("compute: F4B0", "compute: F20B0")
    assert ("compute", "F4B0", "F20B0") in full
    assert ("compute", "F4B0", "in full") in full


def test_many_changed_steps_are_shown_as_a_whole() -> None:
    (steps,) = [one for one in said("", "steps: {at: [0, 2, 5, 9], otherwise: static}") if "?" in one[1]]
    assert steps == ("steps", "11111111????", "101001000100")


def test_a_plan_without_a_step_count_has_no_cost() -> None:
    found = diff(plan_of("", None), plan_of("warmup: 3", None))
    assert found.costs == (None, None)
    assert "blocks run: unknown" in to_text([Compared("p", "changed", diff=found)])


def test_every_pair_of_bundled_policies_can_be_told() -> None:
    plans = []
    for name in bundled_policies():
        try:
            plans.append(compile_policy(load_policy(name), SHAPE, 28))
        except PolicyError:
            continue
    texts = {to_text([Compared("p", "changed", diff=diff(plans[0], plan))]) for plan in plans}
    assert len(texts) >= len(plans) - 2, "the texts tell the policies apart"


EVIL = "<img onerror=x>|`*_a_*`~~~[x](y)&amp;"


def test_markdown_cannot_be_steered_by_names() -> None:
    found = diff(plan_of(""), plan_of("warmup: 3"))
    because = ("a_b_.yaml:1:1 <img> @bob",)
    evil = Compared(EVIL, "changed", "m|", 12, found, because=because)
    text = to_markdown([evil, Compared("gone", "removed", why="``` <b>")])
    assert "@" not in text
    assert "_" not in text.replace("[transformer", "")
    assert "<img" not in text
    assert EVIL not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.count("|") == 5 for row in rows)
    assert text.count("```") == 2


def test_json_has_a_format_and_says_both_costs() -> None:
    tree = to_tree([Compared("p", "changed", "m", 12, diff(plan_of("warmup: 4"), plan_of("warmup: 3")))])
    assert (tree["format"], tree["version"]) == ("cachedsl.diff", 1)
    (plan,) = tree["plans"]
    assert plan["changes"][0] == {
        "what": "limits", "key": "warmup.steps", "at": "", "before": "4", "after": "3",
        "stacks": ["transformer.double", "transformer.single"],
    }  # fmt: skip
    assert plan["cost"]["before"]["least"] > plan["cost"]["after"]["least"]


def test_what_became_alike_on_several_models_is_said_once() -> None:
    """A policy's change on each model and step count, and the cost on each; another change is said by itself."""
    other = ModelShape([StackShape("blocks", 30)], "other")

    def compared(shape: ModelShape, steps: int, new: str) -> Compared:
        plans = [compile_policy(parse_policy(f"version: 1\n{text}\n"), shape, steps) for text in ("", new)]
        return Compared("p", "changed", shape.label, steps, diff(*plans))

    three = [compared(SHAPE, 20, "warmup: 6"), compared(other, 20, "warmup: 6"), compared(SHAPE, 28, "warmup: 6")]
    text = to_text([*three, compared(SHAPE, 30, "warmup: 7")])
    assert text.startswith("p on model, 20 and 28 steps; other, 20 steps: changed\n  warmup.steps: 8 → 6\n")
    assert text.count("warmup.steps") == 2
    assert [line.split(":")[0] for line in text.splitlines() if "blocks run" in line] == [
        "  blocks run on model, 20 steps", "  blocks run on other, 20 steps", "  blocks run on model, 28 steps",
        "  blocks run",
    ]  # fmt: skip
    assert text.endswith("4 plans compared: 4 changed\n")
    page = to_markdown([*three, compared(SHAPE, 30, "warmup: 7")])
    assert page.count("<details>") == 2
    assert sum(line.startswith("| <code>p</code> on ") for line in page.splitlines()) == 4, "each with its cost"
    refused = [Compared("q", "refused", model, 28, why="before: bad") for model in ("a", "b")]
    assert to_text(refused).startswith("q on a, 28 steps; b, 28 steps: refused\n  before: bad\n\n")


def test_a_comment_is_never_longer_than_github_takes() -> None:
    found = diff(plan_of(""), plan_of("warmup: 3"))
    page = to_markdown([Compared(f"{index:0300}", "changed", "m", 12, found) for index in range(150)])
    assert len(page) < 65_536
    assert page.endswith("The rest is too long for a comment; `cachedsl diff` shows it.\n")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def git(where: Path, *arguments: str) -> None:
    named = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *named, *arguments], cwd=where, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose policies were changed since its only commit."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "base.yaml").write_text("version: 1\nwarmup: 4\n")
    (folder / "child.yaml").write_text("version: 1\nextends: base.yaml\ncompute: F4B0\n")
    (folder / "gone.yaml").write_text("version: 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    (folder / "base.yaml").write_text("version: 1\nwarmup: 6\n")
    (folder / "gone.yaml").unlink()
    (folder / "new.yaml").write_text("version: 1\nsteps: '110100'\n")
    return tmp_path


def test_a_revision_is_compared_with_the_working_tree(repository: Path) -> None:
    compared = run("diff", "HEAD", "policies/", "--format", "json")
    assert compared.exit_code == 0
    plans = {plan["name"]: plan for plan in json.loads(compared.output)["plans"]}
    assert {name: plan["status"] for name, plan in plans.items()} == {
        "policies/base.yaml": "changed",
        "policies/child.yaml": "changed",
        "HEAD:policies/gone.yaml": "removed",
        "policies/new.yaml": "added",
    }
    assert plans["policies/child.yaml"]["because"] == [
        "policies/base.yaml:2:9 (warmup.steps), which policies/child.yaml extends"
    ]
    assert plans["policies/new.yaml"]["steps"] == 6, "the mask says how many steps there are"
    assert run("diff", "HEAD", "policies", "--exit-code").exit_code == 1
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "second")
    assert run("diff", "HEAD", "policies", "--exit-code").output == "3 plans compared: 3 unchanged\n"
    assert "warmup.steps: 4 → 6" in run("diff", "HEAD~1:policies/base.yaml", "HEAD:policies/base.yaml").output
    assert "removed" in run("diff", "HEAD~1", "policies/gone.yaml").output


def test_one_file_and_from_a_folder_below(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "policies")
    output = run("diff", "HEAD", "base.yaml").output
    assert output.startswith("base.yaml on a model with one stack of 28 blocks, 28 steps: changed\n")
    assert "warmup.steps: 4 → 6" in output


def test_models_and_steps_are_those_of_the_table_or_of_the_options(repository: Path) -> None:
    table = '[[tool.cachedsl.plans]]\npolicy = "policies/*.yaml"\nmodel = "flux"\nsteps = [20, 28]\n'
    (repository / "pyproject.toml").write_text(table)
    (repository / "policies" / "new.yaml").unlink()
    assert "base.yaml on flux.1-dev, 20 and 28 steps: changed" in run("diff", "HEAD", "policies/base.yaml").output
    named = run("diff", "HEAD", "policies/base.yaml", "--model", "wan", "--model", "dit", "--steps", "12").output
    assert "base.yaml on wan2.1-t2v-1.3b, 12 steps; dit-xl-2, 12 steps: changed" in named
    assert "flux" not in named


def test_a_plan_is_compared_with_its_policy(repository: Path) -> None:
    assert run("plan", "policies/base.yaml", "--model", "flux", "--steps", "20", "-o", "p.json").exit_code == 0
    assert "1 unchanged" in run("diff", "p.json", "policies/base.yaml").output
    (repository / "policies" / "base.yaml").write_text("version: 1\nwarmup: 6\ntail: 2\n")
    assert "tail: 0 → 2" in run("diff", "p.json", "policies/base.yaml").output


def test_names_and_what_is_none(repository: Path) -> None:
    assert "compute: F8B0 → F1B0" in run("diff", "f8b0", "F1B0_R0.08").output
    for arguments in (["nowhere", "f8b0"], ["f8b0", "policies"], ["HEAD", "HEAD"], ["--model", "flx", "f8b0", "f8b0"]):
        refused = run("diff", *arguments)
        assert refused.exit_code == 2, arguments
        assert "Error: " in refused.output
        assert len(refused.output) < 400
    (repository / "policies" / "base.yaml").write_text("version: 1\nwarmpu: 3\n")
    broken = run("diff", "HEAD", "policies/base.yaml")
    assert broken.exit_code == 1
    assert "after: policies/base.yaml:2:1: error[unknown-key]" in broken.output


def test_the_result_is_written_whole(repository: Path) -> None:
    assert run("diff", "HEAD", "policies", "--format", "markdown", "-o", "comment.md").exit_code == 0
    assert (repository / "comment.md").read_text().startswith("**cachedsl**: 4 plans compared: 2 changed, 1 added")


def test_names_of_files_steer_neither_a_terminal_nor_a_reader(repository: Path) -> None:
    names = ["\x1b[31mred.yaml", "a\nb.yaml", "\udcff.yaml", "a:b.yaml"]
    for name in names:
        (repository / "policies" / name).write_text("version: 1\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "names")
    for name in names:
        (repository / "policies" / name).write_text("version: 1\ntail: 2\n")
    for form in ("text", "json", "markdown"):
        file = repository / f"out.{form}"
        assert run("diff", "HEAD", "policies", "--format", form, "-o", str(file)).exit_code == 0
        printed = run("diff", "HEAD", "policies", "--format", form).stdout_bytes
        assert printed == file.read_bytes(), "UTF-8, whole"
        assert b"\x1b" not in printed
    told = (repository / "out.text").read_text()
    assert "policies/\\x1b[31mred.yaml on" in told
    assert "policies/a\\nb.yaml on" in told
    assert "\npolicies/a:b.yaml on" in told
    plans = json.loads((repository / "out.json").read_text())["plans"]
    assert {plan["name"] for plan in plans} >= {f"policies/{name}" for name in names}


def test_a_policy_that_was_broken_is_not_taken_for_one_that_was_removed(repository: Path) -> None:
    folder = repository / "policies"
    (folder / "base.yaml").write_bytes(b"\xff\xfe\0")
    (folder / "child.yaml").write_text("")
    (folder / "gone.yaml").symlink_to("nowhere")
    (folder / "stranger.yaml").write_text("on: push\njobs: {}\n")
    told = run("diff", "HEAD", "policies")
    assert told.exit_code == 1
    assert told.output.count(": refused") == 3
    assert "after: policies/base.yaml:1:1: error[not-text]" in told.output
    assert "after: policies/child.yaml:1:1: error[empty]" in told.output
    assert "after: policies/gone.yaml:1:1: error[cannot-read]: the file cannot be read" in told.output
    assert "stranger" not in told.output


def test_both_sides_may_be_wrong(repository: Path) -> None:
    for name, key in (("old", "warmpu"), ("new", "tial")):
        (repository / f"{name}.yaml").write_text(f"version: 1\n{key}: 3\n")
    told = run("diff", "old.yaml", "new.yaml").output
    assert "before: old.yaml:2:1: error[unknown-key]" in told
    assert "after: new.yaml:2:1: error[unknown-key]" in told


def test_links_are_links_at_a_revision_too(repository: Path) -> None:
    folder = repository / "policies"
    (folder / "new.yaml").unlink()
    (folder / "link.yaml").symlink_to("base.yaml")
    (folder / "out.yaml").symlink_to("/etc/hostname")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "links")
    (folder / "out.yaml").unlink()
    assert run("diff", "HEAD", "policies").output == "3 plans compared: 3 unchanged\n"


def test_a_policy_that_is_gone_is_costed_on_the_models_of_the_table(repository: Path) -> None:
    table = '[[tool.cachedsl.plans]]\npolicy = "policies/*.yaml"\nmodel = "flux"\nsteps = 20\n'
    (repository / "pyproject.toml").write_text(table)
    (repository / "policies" / "new.yaml").unlink()
    assert "HEAD:policies/gone.yaml on flux.1-dev, 20 steps: removed" in run("diff", "HEAD", "policies").output


def test_two_revisions_need_a_path_each(repository: Path) -> None:
    told = run("diff", "HEAD", "HEAD")
    assert told.exit_code == 2
    assert "`HEAD` is a revision alone" in told.output
    assert "such as HEAD:policies" in told.output
    assert run("diff", "HEAD:policies", "HEAD:policies").exit_code == 0


def test_a_revision_that_is_not_there(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert "`git log` lists the revisions" in run("diff", "HEAD~9", "policies").output
    told = run("diff", "HEAD:policies/nope.yaml", "policies/base.yaml")
    assert told.exit_code == 2
    assert "`policies/nope.yaml` holds no policy and no plan at HEAD" in told.output
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "second")
    shallow = tmp_path_factory.mktemp("shallow")
    git(shallow, "clone", "-q", "--depth", "1", f"file://{repository}", ".")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shallow)
        assert "this clone is shallow: `git fetch --unshallow`" in run("diff", "HEAD~1", "policies").output
        patch.chdir(tmp_path_factory.mktemp("none"))
        told = run("diff", "HEAD~1", "policies")
        assert told.exit_code == 2
        assert "this folder is in no repository of git" in told.output
