"""The example of docs/testing.md works in a repository that keeps its plans."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cachedsl.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
TABLE = """[[tool.cachedsl.plans]]
policy = "policies/*.yaml"
model = "flux"
steps = 28
"""
POLICY = "version: 1\nname: fast\nwarmup: 8\nreuse: {threshold: THRESHOLD}\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UPDATE_GOLDEN", raising=False)
    (tmp_path / "policies").mkdir()
    (tmp_path / "pyproject.toml").write_text(TABLE)
    (tmp_path / "policies" / "fast.yaml").write_text(POLICY.replace("THRESHOLD", "0.12"))
    return tmp_path


@pytest.fixture
def of_the_page() -> Callable[[], None]:
    """Return the page's test of a plan."""
    text = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert text
    names: dict[str, Any] = {}
    exec(compile(text[1], "docs/testing.md", "exec"), names)
    found: Callable[[], None] = names["test_what_the_policy_comes_to"]
    return found


def test_the_golden_is_one_of_the_kept_plans(repository: Path, of_the_page: Callable[[], None]) -> None:
    assert "0 removed" in CliRunner().invoke(main, ["plan", "--write"]).output
    of_the_page()
    (repository / "policies" / "fast.yaml").write_text(POLICY.replace("THRESHOLD", "0.3"))
    with pytest.raises(AssertionError, match=r"reuse\.threshold: 0\.12 → 0\.3"):
        of_the_page()


def test_writing_the_golden_leaves_nothing_stale(
    repository: Path, of_the_page: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPDATE_GOLDEN", "1")
    of_the_page()
    checked = CliRunner().invoke(main, ["plan", "--check"])
    assert checked.exit_code == 0, checked.output
