"""A shell asks the installed command itself what may follow: real bash by its script, zsh and fish by click's protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from cachedsl.cli.main import COMMANDS, main
from cachedsl.loading import bundled_policies

HERE = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def completed(*words: str) -> list[str]:
    """Return what the last of the words is completed to."""
    complete = BashComplete(main, {}, "cachedsl", "_CACHEDSL_COMPLETE")
    return [one.value for one in complete.get_completions([*words[:-1]], words[-1])]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a policy of one's own, one in a folder, and what is neither."""
    (tmp_path / "policies" / "video").mkdir(parents=True)
    (tmp_path / "policies" / "video" / "slow.yml").write_text("version: 1\n")
    (tmp_path / "policies" / "video" / "wan.yaml").write_text("version: 1\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / "f8mine.yaml").write_text("version: [\n")
    (tmp_path / "f8notes.txt").write_text("")
    (tmp_path / "pyproject.toml").write_text("[[broken")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_policies_are_bundled_names_and_files() -> None:
    for command in (["explain"], ["plan"], ["diff"], ["diff", "f8b0"], ["demo", "--policy"], ["convert"]):
        found = completed(*command, "f8")
        assert {"f8b0", "f8b8", "f8mine.yaml"} <= set(found), command
        assert ("f8notes.txt" in found) == (command == ["convert"]), command
    assert {*bundled_policies(), "policies/", "f8mine.yaml"} == set(completed("explain", ""))
    # The only folder is looked into, so that no space is put behind it.
    assert completed("explain", "pol") == ["policies/video/slow.yml", "policies/video/wan.yaml"]
    assert completed("explain", "policies/video/w") == ["policies/video/wan.yaml"]
    assert completed("explain", "nowhere/x") == []
    assert completed("explain", "F8B0_") == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "command", [["check", "."], ["diff", "a", "b"], ["explain", "f8b0"], ["plan", "f8b0"], ["init"]]
)
def test_models_are_families_published_ones_classes_and_files(command: list[str]) -> None:
    every = completed(*command, "--model", "")
    assert {"flux", "flux.1-dev", "f8mine.yaml"} <= set(every)
    assert "FluxTransformer2DModel" not in every
    assert "flux.1-dev" in completed(*command, "--model", "fl")
    assert completed(*command, "--model", "FluxTr") == ["FluxTransformer2DModel"]
    assert completed(*command, "--model", "fluxtr") == ["FluxTransformer2DModel"]


def test_rules_engines_and_formats() -> None:
    assert completed("rule", "unknown-k") == ["unknown-key"]
    assert completed("rule", "bad-opt") == ["bad-option"]
    for option in ("--select", "--ignore", "--extend-select"):
        assert {"style", "all", "unknown-key"} <= set(completed("check", ".", option, ""))
        assert completed("check", ".", option, "unknown-key,sty") == ["unknown-key,style"]
        assert completed("check", ".", option, "unknown-key,unknown-k") == []
        assert completed("check", ".", option, "bad-opt") == [], "what the option refuses is not offered"
    assert completed("check", ".", "--output-format", "sa") == ["sarif"]
    assert completed("diff", "a", "b", "--format", "") == ["text", "json", "markdown"]
    assert "comfyui" in completed("convert", "--from", "")
    assert "comfyui" not in completed("convert", "--to", "")
    assert completed("convert", "--to", "ca") == ["cachedsl", "cache-dit"]
    assert completed("convert", "--model", "hunyuan") == ["hunyuan-video"]
    assert completed("schema", "") == ["policy", "adapter", "plan", "trace", "check"]
    assert completed("schema", "plan", "--dialect", "d") == ["draft-07"]
    assert "lsp" in completed("l")


def test_what_is_broken_completes_to_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def broken() -> None:
        raise RuntimeError("no adapters today")

    monkeypatch.setattr("cachedsl.matching.reading.known_names", broken)
    assert completed("init", "--model", "f") == ["f8mine.yaml"]
    monkeypatch.setitem(COMMANDS, "init", "cachedsl.cli.no_such_module")
    assert completed("init", "--model", "f") == []
    assert "init" not in completed("")
    (folder / "policies" / "video" / "gone").symlink_to("nowhere")
    folder.chmod(0o500)
    try:
        assert completed("explain", "f8m") == ["f8mine.yaml"]
    finally:
        folder.chmod(0o700)


BASH = """
eval "$(_CACHEDSL_COMPLETE=bash_source cachedsl)"
COMP_WORDS=(cachedsl {words} "$1")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_cachedsl_completion cachedsl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "typed", "expected"),
    [
        ("explain f8b0 --model", "flux.1-d", ["flux.1-dev"]),
        ("explain", "pol", ["policies/video/slow.yml", "policies/video/wan.yaml"]),
        ("check . --select", "unknown-key,sty", ["unknown-key,style"]),
    ],
)
def test_bash_completes_by_the_script_that_it_is_given(
    words: str, typed: str, expected: list[str], folder: Path
) -> None:
    script = BASH.format(words=words)
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", typed], cwd=folder, env={"PATH": HERE}, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == expected


@pytest.mark.parametrize(
    ("shell", "word", "expected"),
    [
        ("zsh", "2", "plain\nunknown-key\na key that the language does not have\n"),
        ("fish", "unknown-k", "plain,unknown-key\ta key that the language does not have\n"),
    ],
)
def test_zsh_and_fish_are_answered_in_their_way(shell: str, word: str, expected: str) -> None:
    words = "cachedsl rule" + (" unknown-k" if shell == "zsh" else "")
    environ = {"PATH": HERE, "_CACHEDSL_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": word}
    done = subprocess.run(["cachedsl"], env=environ, capture_output=True, text=True)
    assert done.stderr == ""

    assert expected in done.stdout
    source = subprocess.run(
        ["cachedsl"], env={"PATH": HERE, "_CACHEDSL_COMPLETE": f"{shell}_source"}, capture_output=True, text=True
    )
    assert "cachedsl" in source.stdout
    assert source.stderr == ""


def test_no_word_is_completed_with_torch() -> None:
    code = (
        "import sys\nfrom click.shell_completion import BashComplete\nfrom cachedsl.cli.main import main\n"
        "complete = BashComplete(main, {}, 'cachedsl', '_CACHEDSL_COMPLETE')\n"
        "for words in ([], ['explain'], ['init', '--model'], ['rule'], ['convert', '--from'], ['check', '--select']):\n"
        "    assert complete.get_completions(words, ''), words\n"
        "assert not {'torch', 'diffusers', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
