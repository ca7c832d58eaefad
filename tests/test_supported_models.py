"""What is supported is what the adapters say, and can be listed."""

from __future__ import annotations

from pathlib import Path

import diffusers
from click.testing import CliRunner

import cachedsl
from cachedsl.cli.main import main
from cachedsl.matching.patterns import PATTERNS
from tests.golden import matches_golden

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_page_of_models() -> None:
    said = CliRunner().invoke(main, ["adapters", "list", "--markdown"])
    assert said.exit_code == 0
    matches_golden(said.output, DOCS / "adapters.md")


def test_the_matrix_and_the_list_have_every_class() -> None:
    rows = cachedsl.supported_matrix()
    said = CliRunner().invoke(main, ["adapters", "list"], env={"COLUMNS": None})
    assert said.exit_code == 0
    for row in rows:
        assert row.transformer in said.output  # whole, though nobody said how wide the pipe is
        assert {pattern for _, pattern in row.stacks} <= set(PATTERNS)
    assert len({row.transformer for row in rows}) == len(rows)


def test_supported_pipelines_are_pipelines_of_diffusers() -> None:
    names = cachedsl.supported_pipelines()
    assert "FluxPipeline" in names
    assert list(names) == sorted(set(names))
    assert not set(names) - set(dir(diffusers))
