"""Pages that are written by the code are what it writes."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from cachedsl import bundled_policies
from cachedsl.cli.main import main
from tests.golden import matches_golden

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_page_of_policies() -> None:
    said = CliRunner().invoke(main, ["policies", "--markdown"])
    assert said.exit_code == 0
    matches_golden(said.output, DOCS / "policies.md")
    assert all(f"`{name}`" in said.output for name in bundled_policies())


def test_policies_are_listed() -> None:
    said = CliRunner().invoke(main, ["policies"])
    assert said.exit_code == 0
    assert all(name in said.output for name in bundled_policies())
