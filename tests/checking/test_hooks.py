"""The pre-commit hook and the GitHub action, run as they are: pre-commit itself, and the action's own shell steps."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from cachedsl.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
GIT = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
}  # fmt: skip


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(command, cwd=cwd, env={**kept, **GIT, **environment}, capture_output=True, text=True)


def git(cwd: Path, *arguments: str) -> str:
    done = run("git", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with the `cachedsl` of this tree."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "cachedsl"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m cachedsl "$@"\n')
    command.chmod(0o755)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "policies").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "compose.yml").write_text("services: {web: {image: nginx}}\n")
    (folder / "policies" / "base.yaml").write_text("version: 1\npredict: taylor\n")
    (folder / "policies" / "child.yaml").write_text("version: 1\nextends: base.yaml\npredict: {order: 2}\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Begin")
    return folder


def test_the_hooks_hold_pre_commits_schema() -> None:
    done = run(sys.executable, "-m", "pre_commit", "validate-manifest", ".pre-commit-hooks.yaml", cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def commit(repository: Path, commands: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run some hooks over what is changed.

    As a user has it, but that nothing is installed: `language: system` in place of `python`, which needs a network.
    """
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    manifest = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (hooks / ".pre-commit-hooks.yaml").write_text(yaml.safe_dump([{**one, "language": "system"} for one in manifest]))
    git(hooks, "init", "--quiet")
    git(hooks, "add", ".")
    git(hooks, "commit", "--quiet", "-m", "Hooks")
    revision = git(hooks, "rev-parse", "HEAD")
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    where = {"PATH": path, "PRE_COMMIT_HOME": str(tmp_path / "cache")}

    def commit(*names: str) -> subprocess.CompletedProcess[str]:
        config = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": [{"id": name} for name in names]}]}
        (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
        git(repository, "add", ".")
        return run(sys.executable, "-m", "pre_commit", "run", cwd=repository, **where)

    return commit


def test_the_hooks_in_a_scratch_repository(
    repository: Path, commit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    both = ("cachedsl-check", "cachedsl-fix")
    (repository / "policies" / "base.yaml").write_text("version: 1\npredict: copy\n")
    (repository / "compose.yml").write_text("services: {web: {image: caddy}}\n")
    broken = commit(*both)
    assert broken.returncode == 1
    assert "policies/child.yaml:3:18: error[no-effect]" in broken.stdout, "the child was not changed"
    assert "compose.yml" not in broken.stdout
    (repository / "policies" / "base.yaml").write_text("version: 1\npredict: taylor\nsteps: 1101\n")
    mended = commit(*both)
    assert mended.returncode == 1
    assert 'steps: "1101"' in (repository / "policies" / "base.yaml").read_text()
    fine = commit(*both)
    assert fine.returncode == 0, fine.stdout + fine.stderr


def test_the_hook_that_compares_plans(
    repository: Path, commands: Path, commit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    table = '[[tool.cachedsl.plans]]\npolicy = "policies/*.yaml"\nmodel = "flux"\nsteps = 28\nfolder = "plans"\n'
    (repository / "pyproject.toml").write_text(table)
    assert run(str(commands / "cachedsl"), "plan", "--write", cwd=repository).returncode == 0
    same = commit("cachedsl-plans")
    assert same.returncode == 0, same.stdout
    (repository / "policies" / "base.yaml").write_text("version: 1\npredict: taylor\nwarmup: 4\n")
    changed = commit("cachedsl-plans")
    assert changed.returncode == 1
    assert "policies/base.yaml" in changed.stdout
    assert "`cachedsl plan --write` brings the plans up to date" in changed.stdout


def steps() -> dict[str, str]:
    """Return the shell steps of the action by name."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    return {step["name"]: step["run"] for step in action["runs"]["steps"] if "run" in step}


def do(name: str, cwd: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does: bash with -e and pipefail."""
    bash = shutil.which("bash")
    assert bash is not None
    return run(bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", steps()[name], cwd=cwd, PATH=path, **environment)


def test_no_step_puts_an_expression_into_its_script() -> None:
    assert all("${{" not in script for script in steps().values())


@pytest.fixture
def runner(tmp_path: Path, commands: Path) -> dict[str, str]:
    return {
        "path": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_WORKSPACE": "",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }


def test_the_action_checks_and_annotates(repository: Path, tmp_path: Path, runner: dict[str, str]) -> None:
    (repository / "policies" / "with space.yaml").write_text("version: 1\nwarmpu: 4\ntail: 1\n")
    given = {
        "PATHS": "policies/with space.yaml\npolicies/base.yaml\n",
        "ARGS": "--no-dependents\n",
        "SARIF": "out.sarif",
    }
    done = do("Check", repository, **runner, **given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("::error file=policies/with space.yaml,line=2,col=1,")
    assert (tmp_path / "output").read_text() == "status=1\n"
    assert "2 policies checked, 1 finding" in (tmp_path / "summary").read_text()
    assert (repository / "out.sarif").is_file()
    assert do("Result", repository, runner["path"], STATUS="1").returncode == 1
    assert do("Result", repository, runner["path"], STATUS="0").returncode == 0
    wrong = do("Check", repository, **runner, PATHS="nowhere\n", ARGS="", SARIF="")
    assert wrong.returncode == 0
    assert (tmp_path / "output").read_text().endswith("status=2\n")


def _gh(folder: Path, tmp_path: Path, existing: str) -> None:
    """Put a `gh` there that writes down what it is asked, and lists one comment."""
    command = folder / "gh"
    log = tmp_path / "gh.log"
    command.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\ncase "$*" in *--jq*) printf "%s" "{existing}";; esac\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(("existing", "expected"), [("", "--method POST repos/o/r/issues/7/comments"), ("41\n", "--method PATCH repos/o/r/issues/comments/41")])  # fmt: skip
def test_the_action_keeps_one_comment(
    repository: Path, tmp_path: Path, commands: Path, runner: Mapping[str, str], existing: str, expected: str
) -> None:
    _gh(commands, tmp_path, existing)
    comment = tmp_path / "comment.md"
    comment.write_text("<!-- cachedsl diff -->\n")
    given = {"REPOSITORY": "o/r", "NUMBER": "7", "COMMENT": str(comment), "GH_TOKEN": "x"}
    done = do("Comment", repository, runner["path"], **given)
    assert done.returncode == 0, done.stderr
    assert f"api {expected} --field body=@{comment}" in (tmp_path / "gh.log").read_text()
    (commands / "gh").write_text("#!/bin/sh\nexit 1\n")
    refused = do("Comment", repository, runner["path"], **given)
    assert refused.returncode == 0
    assert "::warning" in refused.stdout


@pytest.mark.skipif("diff" not in COMMANDS, reason="there is no `cachedsl diff`")
def test_the_action_compares_plans(repository: Path, tmp_path: Path, runner: Mapping[str, str]) -> None:
    base = git(repository, "rev-parse", "HEAD")
    (repository / "policies" / "base.yaml").write_text("version: 1\npredict: taylor\nwarmup: 4\n")
    comment = tmp_path / "comment.md"
    given = {"PATHS": "policies\n", "BASE": base, "COMMENT": str(comment)}
    done = do("Compare plans", repository, runner["path"], **given)
    assert done.returncode == 0, done.stderr
    text = comment.read_text()
    assert text.startswith("<!-- cachedsl diff -->\n")
    assert "base" in text
    assert "warmup" in text
