"""What each engine's settings come to, and what is said of them: every file of `foreign/` beside what it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachedsl.convert.forms import read_settings
from cachedsl.convert.registry import UnknownEngine, convert, engine_of, engines
from cachedsl.language.dump import written_tree
from cachedsl.loading import parse_policy
from tests.golden import matches_golden

FOREIGN = Path(__file__).parent / "foreign"
FILES = sorted(path for path in FOREIGN.iterdir() if path.suffix != ".out")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_a_file_becomes(path: Path) -> None:
    """The policy as it is written, then every finding; where there are errors, what is left without those settings."""
    found = convert(path.read_text(encoding="utf-8"), path.name)
    lines = [finding.render() for finding in found.findings]
    whole = found.converted.without_errors()
    text = "nothing can be carried over\n"
    if whole.tree:
        text = written_tree({"version": 1, "name": "name", **whole.tree})
        assert parse_policy(text) == whole.policy("name"), "the text that is written means the policy"
    else:
        assert found.errors
    assert bool(found.errors) == any(": error[" in line for line in lines)
    matches_golden("\n".join([text, *lines, ""]), FOREIGN / f"{path.name}.out")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_whose_a_file_is_shows_in_what_it_holds(path: Path) -> None:
    settings = read_settings(path.read_text(encoding="utf-8"), path.name)
    if settings.root is None:
        return
    assert path.name.replace("stable-diffusion-cpp", "stable-diffusion.cpp").startswith(engine_of(settings).name)


def test_every_engine_has_files_and_one_with_a_fault() -> None:
    for engine in engines():
        outs = [path.read_text() for path in FOREIGN.glob(f"{engine.name.replace('.', '-')}*.out")]
        assert len(outs) >= 2, engine.name
        assert any(": error[" in text for text in outs), engine.name
        assert any("not-carried-over" in text or not engine.refused for text in outs), engine.name


def test_no_golden_file_is_left_over() -> None:
    assert {path.name.removesuffix(".out") for path in FOREIGN.glob("*.out")} == {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_finding_stands_at_the_key_that_it_is_about(path: Path) -> None:
    """The file's text at the place of a finding begins with the name that the message begins with."""
    text = path.read_text(encoding="utf-8")
    for found in convert(text, path.name).findings:
        name = found.message.partition(":")[0]
        if (
            found.code in ("bad-option", "not-carried-over", "idle-option")
            and f"{name}" in text
            and found.span.line + found.span.column > 2
        ):
            line = text.splitlines()[found.span.line - 1][found.span.column - 1 :]
            assert line.lstrip("\"'").startswith((name.rpartition(".")[2], "[", "0.", "{", "--")), (
                found.render(),
                line,
            )


def test_what_nobody_knows_or_several_do() -> None:
    with pytest.raises(UnknownEngine, match=r"no engine knows what x\.yaml is"):
        convert("some: thing\n", "x.yaml")
    both = "apply_cache_on_pipe(pipe, residual_diff_threshold=0.1)\n"
    with pytest.raises(UnknownEngine, match=r"x\.py may be of cache-dit and nunchaku; say which"):
        convert(both, "x.py")
    assert convert(both, "x.py", engine="nunchaku").converted.tree["span"] == "joined"
    assert convert(both, "x.py", engine="cache-dit").converted.tree == {"version": 1, "reuse": {"threshold": 0.1}}
    with pytest.raises(UnknownEngine, match="there is no engine `x`; there are cache-dit, comfyui"):
        convert("a: 1\n", "x.yaml", engine="x")
    with pytest.raises(UnknownEngine, match="holds no settings of diffusers"):
        convert("import os\nos.getcwd()\n", "x.py", engine="diffusers")


@pytest.mark.parametrize("engine", [engine.name for engine in engines()])
@pytest.mark.parametrize(
    "text", ["a: 1\n", "[1]\n", "", "{}", "a: [\n", "x(", "A=1", "--flag", "cache_config: 3\n", "cache_config: [1]\n"]
)
def test_nothing_that_is_read_as_another_engine_s_ends_in_a_fault_of_ours(engine: str, text: str) -> None:
    for file in ("x.yaml", "x.txt"):
        try:
            found = convert(text, file, engine=engine)
        except UnknownEngine:
            continue
        if found.converted.tree:
            assert found.converted.without_errors().policy() is not None
        else:
            assert found.errors
