"""`cachedsl schema` prints what is checked in, where no plugin adds to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cachedsl.cli.main import main

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


@pytest.mark.parametrize("name", ["policy", "adapter", "plan", "trace", "check"])
def test_it_prints_the_published_schema(name: str) -> None:
    printed = CliRunner().invoke(main, ["schema", name])
    assert printed.exit_code == 0
    published = (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")
    assert json.loads(printed.output) == json.loads(published)


@pytest.mark.parametrize("name", ["policy", "adapter"])
def test_it_prints_the_published_schema_of_the_other_dialect(name: str) -> None:
    printed = CliRunner().invoke(main, ["schema", name, "--dialect", "draft-07"])
    assert printed.exit_code == 0
    assert printed.output == (SCHEMAS / "draft-07" / f"{name}.schema.json").read_text(encoding="utf-8")


def test_another_name_is_wrong_use() -> None:
    printed = CliRunner().invoke(main, ["schema", "polcy"])
    assert printed.exit_code == 2
    assert "'policy', 'adapter', 'plan', 'trace', 'check'" in printed.output
