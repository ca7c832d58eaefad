"""The command line, as a user meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachedsl.checking.catalogue import all_rules
from cachedsl.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)
    for name in COMMANDS:
        assert run(name, "--help").exit_code == 0
    assert run("no-such-command").exit_code == 2


def test_check_of_good_files(tmp_path: Path) -> None:
    result = run("check", str(ROOT / "policies"))
    assert result.exit_code == 0
    assert result.output.endswith("policies checked, 0 findings\n")
    (tmp_path / "one.yml").write_text("version: 1\n")
    assert run("check", str(tmp_path)).output == "1 policy checked, 0 findings\n"


def test_check_prints_every_finding_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nwarmpu: 3\ntail: x\n")
    (tmp_path / "b.yaml").write_text("version: 1\n\tx\n")
    (tmp_path / "other.yaml").write_text("some: thing\n")
    (tmp_path / "adapter.yaml").write_text(
        "family: x\ntransformers: {A: {cfg: fused, stacks: {b: {pattern: hidden_only}}}}\n"
    )
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.yaml").write_text("version: 2\n")
    result = run("check", str(tmp_path))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert [line.split(": ")[0] for line in lines[:3]] == [
        f"{tmp_path}/a.yaml:2:1",
        f"{tmp_path}/a.yaml:3:7",
        f"{tmp_path}/b.yaml:2:1",
    ]
    assert lines[3:] == ["2 policies and 1 adapter checked, 3 findings", f"passed over: {tmp_path}/other.yaml"]
    named = run("check", str(tmp_path / "other.yaml"))
    assert named.exit_code == 1
    assert "missing-key" in named.output


def test_check_of_nothing_is_wrong_use(tmp_path: Path) -> None:
    assert run("check").exit_code == 2
    assert run("check", str(tmp_path / "none.yaml")).exit_code == 2
    empty = run("check", str(tmp_path))
    assert empty.exit_code == 2
    assert "no policies below" in empty.output


def test_tables_show_brackets_as_they_are() -> None:
    shown = CliRunner().invoke(main, ["rules"], env={"COLUMNS": None}).output  # a narrow terminal folds lines
    assert all(rule.summary in shown for rule in all_rules())


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "policies"],
        ["convert", "f8b0", "--to", "cache-dit"],
        ["convert", "tests/convert/foreign/diffusers-mag.py"],
        ["diff", "f8b0", "f8b8"],
        ["explain", "f8b0", "--model", "flux"],
        ["plan", "f8b0", "--model", "flux", "--steps", "28"],
        ["policies"],
        ["rule", "syntax"],
        ["rules"],
    ],
)
def test_commands_start_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from cachedsl.cli.main import main\n"
        f"try: main({arguments})\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules and 'diffusers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_explain_says_it_in_words_as_a_table_and_as_a_diagram() -> None:
    result = run("explain", "f8b8-taylor", "--model", "flux", "--steps", "12")
    assert result.exit_code == 0
    assert "and the last 8 blocks always run; the other 3 are computed or reused as one." in result.output
    assert "11111111????" in result.output
    assert "stateDiagram-v2" in result.output
    assert run("explain", "F1B0_W1_R0.1").exit_code == 0
    assert run("explain", "f8b0", "--format", "json").output.startswith("{")
    assert run("explain", "f8b0", "--format", "mermaid").output.startswith("stateDiagram-v2")


def test_explain_knows_families_published_models_classes_and_adapters_of_one_s_own(tmp_path: Path) -> None:
    def blocks(model: str) -> list[str]:
        return [
            line for line in run("explain", "f8b0", "--model", model).output.splitlines() if line.endswith(" blocks")
        ]

    assert blocks("pixart") == blocks("PixArtTransformer2DModel") == ["transformer.transformer_blocks, 28 blocks"]
    assert blocks("wan2.2-t2v-a14b") == ["transformer.blocks, 40 blocks", "transformer_2.blocks, 40 blocks"]
    own = tmp_path / "mine.yaml"
    own.write_text(
        "family: mine\ntransformers: {A: {cfg: fused, stacks: {layers: {pattern: hidden_only, blocks: 12}}}}\n"
    )
    assert blocks(str(own)) == ["transformer.layers, 12 blocks"]
    own.write_text("family: mine\ntransformers: {A: {cfg: fused, stacks: {layers: {pattern: hidden_only}}}}\n")
    assert "mine: how many blocks A has is not in the adapter" in run("explain", "f8b0", "--model", str(own)).output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nope"], 1, "is no policy"),
        (["f8b0", "--model", "nowhere.yaml"], 1, "nowhere.yaml: the file cannot be read"),
        (["F8B0_X"], 1, "unknown letter `X`"),
        (["f8b0", "--model", "flx"], 2, "did you mean 'flux'?"),
        (["f8b0", "--steps", "0"], 2, "--steps"),
        (["F16B16", "--model", "dit"], 1, "too-many-blocks"),
        ([], 2, "Missing argument"),
    ],
)
def test_explain_of_what_does_not_work(arguments: list[str], status: int, message: str) -> None:
    result = run("explain", *arguments)
    assert result.exit_code == status
    assert message in result.output
