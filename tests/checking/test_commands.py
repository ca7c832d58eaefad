"""`cachedsl rules`, `rule` and `explain`, and how commands end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from cachedsl.checking.catalogue import all_rules
from cachedsl.cli import main as module
from cachedsl.cli.main import main
from cachedsl.rules.registry import rules
from cachedsl.text.finding import CachedslError, PolicyError, Span
from cachedsl.text.rules import SYNTAX


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


def test_rules_lists_every_rule() -> None:
    result = CliRunner().invoke(main, ["rules"], env={"COLUMNS": None})  # a narrow terminal folds codes
    assert result.exit_code == 0
    assert all(rule.code in result.output for rule in rules())
    listed = json.loads(run("rules", "--json").output)
    assert {rule.summary for rule in rules()} <= {one["summary"] for one in listed}
    assert [one["code"] for one in listed] == [rule.code for rule in all_rules()]
    assert {"code", "stage", "severity", "summary", "why", "bad", "good"} <= listed[0].keys()


def test_no_code_stands_for_two_rules() -> None:
    codes = [rule.code for rule in all_rules()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("code", [rule.code for rule in all_rules()])
def test_rule_explains_one(code: str) -> None:
    result = run("rule", code)
    assert result.exit_code == 0
    assert result.output.startswith(f"{code}: ")
    assert "\nBad:\n" in result.output
    assert "\nGood:\n" in result.output


def test_rule_of_another_code_names_the_nearest() -> None:
    result = run("rule", "unknwon-key")
    assert result.exit_code == 2
    assert "there is no rule `unknwon-key`; did you mean `unknown-key`?" in result.output
    assert run("rule", "\x1b[31m").exit_code == 2


def test_explain_says_what_share_of_the_blocks_runs() -> None:
    assert "blocks run: 280 of 784 (35.7%)" in run("explain", "fora").output
    measuring = run("explain", "f8b0").output
    assert "% to " in measuring.partition("blocks run: ")[2]
    assert "note: " not in measuring
    assert "note: 4 steps leave nothing to reuse" in run("explain", "repay-medium", "--steps", "4").output


def test_explain_in_words_alone() -> None:
    words = run("explain", "f8b0", "--format", "words").output
    assert words.startswith("transformer.blocks (28 blocks):\n  - The first 8 blocks always run")
    assert "stateDiagram" not in words


def test_explain_of_standard_input() -> None:
    result = run("explain", "-", "--format", "words", stdin="version: 1\ncompute: F3B0\n")
    assert "The first 3 blocks always run" in result.output
    wrong = run("explain", "-", stdin="version: 1\nwarmup: x\n")
    assert wrong.exit_code == 1
    assert wrong.output.startswith("<stdin>:2:9: error[bad-value]")


def test_explain_of_a_pipe() -> None:
    command = [sys.executable, "-m", "cachedsl", "explain", "/dev/stdin", "--format", "words"]
    done = subprocess.run(command, input="version: 1\ncompute: F3B0\n", capture_output=True, text=True)
    assert "The first 3 blocks always run" in done.stdout


def test_explain_of_a_bundled_name_with_a_suffix_warns_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("explain", "f8b0.yaml", "--format", "json")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: there is no file 'f8b0.yaml'")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout.startswith("{")


def test_explain_of_an_unknown_model_is_short() -> None:
    result = run("explain", "f8b0", "--model", "flx")
    assert result.exit_code == 2
    assert "no adapter is called 'flx', did you mean 'flux'?" in result.output
    assert len(result.output) < 300


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (
            PolicyError([SYNTAX.finding("it is wrong", Span("a.yaml", 2, 3))]),
            1,
            "a.yaml:2:3: error[syntax]: it is wrong",
        ),
        (CachedslError("so not"), 2, "so not"),
    ],
)
def test_errors_of_our_own_end_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, error: CachedslError, status: int, words: str
) -> None:
    import click

    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(module, "import_module", lambda name: SimpleNamespace(check=failing))
    result = run("check")
    assert result.exit_code == status
    assert result.stderr == f"{words}\n"
    assert result.stdout == ""


def test_python_m_cachedsl() -> None:
    done = subprocess.run([sys.executable, "-m", "cachedsl", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cachedsl, version ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", "f8b0", "f1b0"],
        ["diff", "f8b0", "f1b0", "--format", "markdown"],
        ["explain", "f8b8-taylor", "--model", "flux", "--steps", "28"],
        ["init", "--model", "flux"],
        ["plan", "f8b0", "--model", "flux", "--steps", "28"],
        ["schema", "policy"],
        ["rules"],
        ["rules", "--markdown"],
        ["rule", "no-effect"],
        ["check", "--output-format", "full", "."],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("charset", ["ascii", "cp1252"])
def test_no_character_stops_a_command(
    arguments: list[str], charset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("version: 1\nwarmup: \u6f22\n", encoding="utf-8")
    result = CliRunner(charset=charset).invoke(main, arguments)
    assert result.exit_code == int(arguments[0] == "check"), result.stderr
    if arguments[0] in ("diff", "init", "plan"):
        assert result.stdout_bytes.decode("utf-8") == run(*arguments).stdout, "a file that it is led to is UTF-8"
