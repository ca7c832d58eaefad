"""What the pages say that commands print is what they print.

A block shows `$ command` and its output. `cat` of a file that is not there yet writes it. Only blocks that need nothing
but what the page shows are run; docs/in-your-repository.md has a test of its own.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from cachedsl.cli.main import main

DOCS = Path(__file__).resolve().parent.parent / "docs"
RUN = {
    "convert.md": ("cat cache.yaml", "convert f4b0-mc3", "cat sglang.env", "cat wrong.yaml"),
    "plans.md": ("diff f8b0",),
}
"""Pages, and how the blocks begin that are run."""


def blocks(page: str) -> list[str]:
    fences = re.findall(r"^```[a-z]*\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.S | re.M)
    return [text for text in fences if text.startswith(tuple(f"$ {start}" for start in starts(page)))]


def starts(page: str) -> list[str]:
    return [start if start.startswith("cat ") else f"cachedsl {start}" for start in RUN[page]]


@pytest.mark.parametrize("page", RUN)
def test_a_page_prints_what_commands_print(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    assert len(found) == len(RUN[page])
    for block in found:
        for command, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            tool, *arguments = shlex.split(command)
            if tool == "cachedsl":
                assert CliRunner().invoke(main, arguments).output == printed, command
            elif (tmp_path / arguments[0]).exists():
                assert (tmp_path / arguments[0]).read_text("utf-8") == printed, command
            else:
                (tmp_path / arguments[0]).write_text(printed, encoding="utf-8")
