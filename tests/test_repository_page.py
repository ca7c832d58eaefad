"""The page "Policies in your repository" is followed to the letter, in a scratch repository.

`UPDATE_GOLDEN=1` writes what the commands print into the page.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cachedsl.cli.main import main
from tests.golden import matches_golden

PAGE = Path(__file__).resolve().parent.parent / "docs" / "in-your-repository.md"
# What is done, in the order of the page: a file, a console, or a word on what CI makes of the last commit.
STEP = re.compile(
    r"```(?:yaml|toml|text)\n# (?P<path>\S+\.(?:yaml|yml|toml))\n(?P<text>.*?)```"
    r"|(?<=```console\n)(?P<console>.*?)(?=```)"
    r"|<!-- ci: (?P<ci>\w+) -->",
    re.S,
)


class Repository:
    """A folder in which the page is followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.verdicts: list[str] = []
        who = {f"GIT_{role}_{part}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "CACHEDSL_"))},
            **who,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def run(self, command: str, folder: Path | None = None) -> tuple[int, str]:
        """Return exit status and output. `cachedsl` runs in this process where no shell is needed, which is faster."""
        folder = folder or self.folder
        if command.startswith("cachedsl ") and ">" not in command:
            before = Path.cwd()
            os.chdir(folder)
            try:
                said = CliRunner().invoke(main, shlex.split(command)[1:])
            finally:
                os.chdir(before)
            assert said.exception is None or isinstance(said.exception, SystemExit)
            return said.exit_code, said.output
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return 0, done.stdout

    def follow(self, step: re.Match[str]) -> str:
        """Do what a step of the page says, and return the step with what is printed now."""
        if step["path"]:
            path = self.folder / step["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step["text"], encoding="utf-8")
        elif step["console"]:
            commands = re.findall(r"^\$ (.*)$", step["console"], re.M)
            return "".join(f"$ {command}\n{self.run(command)[1]}" for command in commands)
        else:
            self.verdicts.append(self.ci())
            assert self.verdicts[-1] == step["ci"], f"CI {len(self.verdicts)} is {self.verdicts[-1]}"
        return step[0]

    def ci(self) -> str:
        """Run the page's workflow on a fresh clone, all but the installation."""
        clone = self.folder.parent / f"ci-{len(self.verdicts)}"
        self.run(f"git clone -q {self.folder} {clone}")
        workflow = yaml.safe_load((clone / ".github/workflows/policies.yml").read_text("utf-8"))
        commands = [step["run"] for step in workflow["jobs"]["policies"]["steps"] if "run" in step]
        assert commands[0].startswith("pip install ")
        codes = [self.run(command, clone)[0] for command in commands[1:]]
        assert len(codes) == 2
        assert set(codes) <= {0, 1}
        return "red" if any(codes) else "green"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, str]:
    repository = Repository(tmp_path_factory.mktemp("page") / "repository")
    repository.folder.mkdir()
    return repository, STEP.sub(repository.follow, PAGE.read_text("utf-8"))


def test_the_page_prints_what_the_commands_print(followed: tuple[Repository, str]) -> None:
    repository, text = followed
    matches_golden(text, PAGE)
    assert repository.verdicts == ["green", "red", "green", "red", "green"]


def test_the_schema_that_is_copied_takes_the_policy(followed: tuple[Repository, str]) -> None:
    repository, text = followed
    line = re.search(r"\$schema=(\S+)", text)
    assert line
    policies = repository.folder / "policies"
    schema = json.loads((policies / line[1]).resolve().read_text("utf-8"))
    checked = Draft202012Validator(schema)
    policy = yaml.safe_load((policies / "fast.yaml").read_text("utf-8"))
    assert checked.is_valid(policy)
    assert not checked.is_valid({**policy, "treshold": 1})
    assert repository.run("cachedsl check .")[0] == 0
