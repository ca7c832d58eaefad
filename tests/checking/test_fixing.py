"""`cachedsl check --fix`, `--unsafe-fixes` and `--diff`."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachedsl.checking.check import Checked, check_source
from cachedsl.checking.fixing import fix_source
from cachedsl.checking.sources import Source, source_of
from cachedsl.cli.main import main
from cachedsl.text.finding import Edit, Fix, Rule

TEXT = "# a policy\r\nversion: 1\r\nname: slow  # why\r\nsteps: 1101 # bits\r\n"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fast.yaml"
    path.write_text(TEXT, newline="")
    return path


def check(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["check", "--output-format", "concise", *arguments], input=stdin)


def test_safe_fixes_are_made_and_all_else_stays(file: Path) -> None:
    os.chmod(file, 0o640)
    result = check("fast.yaml", "--fix")
    assert result.exit_code == 0
    assert file.read_bytes().decode() == TEXT.replace("1101", '"1101"')
    assert result.stdout.endswith("1 policy checked, 1 finding (1 mended)\n")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
    before = file.stat().st_mtime_ns
    assert "mended" not in check("fast.yaml", "--fix").stdout.replace("mended by", "")
    assert file.stat().st_mtime_ns == before, "what needs no fix is not written"


def test_unsafe_fixes_are_asked_for(file: Path) -> None:
    result = check("fast.yaml", "--unsafe-fixes")
    assert file.read_bytes().decode() == TEXT.replace("1101", '"1101"').replace("slow", "fast")
    assert result.stdout == "1 policy checked, 0 findings (2 mended)\n"
    assert result.exit_code == 0


def test_diff_changes_nothing(file: Path) -> None:
    result = check("fast.yaml", "--diff")
    assert result.exit_code == 1
    assert file.read_bytes().decode() == TEXT
    assert "-steps: 1101 # bits" in result.stdout
    assert '+steps: "1101" # bits' in result.stdout
    assert "-name: slow" not in result.stdout
    assert check("fast.yaml", "--diff", "--exit-zero").exit_code == 0
    assert "+name: fast" in check("fast.yaml", "--diff", "--unsafe-fixes").stdout
    check("fast.yaml", "--fix")
    assert check("fast.yaml", "--diff").stdout == ""
    assert check("fast.yaml", "--diff").exit_code == 0


def test_what_is_not_shown_is_not_mended(file: Path) -> None:
    check("fast.yaml", "--fix", "--ignore", "bad-value")
    assert file.read_bytes().decode() == TEXT
    file.write_text(TEXT.replace("# bits", "# cachedsl: ignore[bad-value] later"), newline="")
    check("fast.yaml", "--fix")
    assert "steps: 1101 #" in file.read_text()


def test_standard_input_is_mended_to_standard_output() -> None:
    result = check("-", "--fix", "--stdin-filename", "fast.yaml", stdin="version: 1\nname: slow\nsteps: 1101\n")
    assert result.stdout == 'version: 1\nname: slow\nsteps: "1101"\n'
    assert "warning[file-name]" in result.stderr
    assert "1 mended" in result.stderr
    fine = check("-", "--fix", stdin="version: 1\n")
    assert fine.stdout == "version: 1\n", "also where there is nothing to mend"


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file.name)
    check("link.yaml", "--fix")
    assert link.is_symlink()
    assert '"1101"' in file.read_text()


RULE = Rule("made-up", "file", "x", severity="warning", fix="x.")


def _with_fix(source: Source, fix: Fix | None) -> Checked:
    one = check_source(source)
    found = RULE.finding("m", source.document.span(0), fix=fix)
    return Checked(one.file, one.kind, (*one.findings, found), source)


def test_a_fix_that_leaves_an_error_behind_is_not_made() -> None:
    source = source_of(b"version: 1\nwarmup: 4\n", "a.yaml")
    bad = Fix("break it", (Edit(19, 20, "x"),), safe=True)
    assert fix_source(_with_fix(source, bad), check_source, unsafe=False) is None
    good = Fix("change it", (Edit(19, 20, "5"),), safe=True)
    fixed = fix_source(_with_fix(source, good), check_source, unsafe=False)
    assert fixed is not None
    assert fixed.text == "version: 1\nwarmup: 5\n"


def test_fixes_that_never_end_are_given_up() -> None:
    source = source_of(b"version: 1\n", "a.yaml")

    def look(source: Source) -> Checked:
        end = len(source.document.text)
        return _with_fix(source, Fix("add a line", (Edit(end, end, "# more\n"),), safe=True))

    fixed = fix_source(look(source), look, unsafe=False)
    assert fixed is not None
    assert fixed.text.count("# more") == 10


JSON_POLICY = """{
  "version": 1,
  "name": "slow",
  "steps": 1101,
  "warmpu": 8,
  "compute": {"front": 8, "back": 0},
  "stacks": {"blocks": {"warmup": 8}},
  "reuse": {"signal": {"tap": "residual"}, "max_continuous": 0}
}
"""


@pytest.mark.parametrize("name", ["fast.json", "fast.yaml"])
@pytest.mark.parametrize("unsafe", [False, True])
def test_what_is_json_stays_json(name: str, unsafe: bool) -> None:
    Path(name).write_text(JSON_POLICY)
    check(name, "--extend-select", "shorthand", "--unsafe-fixes" if unsafe else "--fix")
    tree = json.loads(Path(name).read_text())
    assert tree["steps"] == "1101"
    assert tree["name"] == ("fast" if unsafe else "slow")
    assert ("warmup" in tree) == unsafe
    check(name, "--extend-select", "shorthand", "--unsafe-fixes" if unsafe else "--fix")
    if unsafe:
        tree = json.loads(Path(name).read_text())
        assert (tree["reuse"]["signal"], tree["compute"]) == ("residual", "F8B0")


def test_json_gets_no_comments() -> None:
    Path("fast.json").write_text(JSON_POLICY)
    result = check("fast.json", "--add-ignore", "later")
    assert (result.exit_code, Path("fast.json").read_text()) == (1, JSON_POLICY)
    assert "no comment can be put to: fast.json:3:11: warning[file-name]" in result.stderr


@pytest.mark.parametrize("option", [["--unsafe-fixes"], ["--add-ignore", "later"]])
def test_a_read_only_file_stays_and_the_others_are_mended(file: Path, option: list[str]) -> None:
    Path("other.yaml").write_text(TEXT, newline="")
    os.chmod(file, 0o444)
    result = check(".", *option)
    assert result.exit_code == 2
    assert "not mended: fast.yaml: it is read-only" in result.stderr
    assert file.read_bytes().decode() == TEXT
    assert Path("other.yaml").read_text() != TEXT


def test_broken_yaml_gets_no_comments(file: Path) -> None:
    text = "\ufeffversion: 1\nreuse: {max_accumulat# note\ned: 0.4}\nwarmpu: 1\ntail: 1: 2\n"
    file.write_text(text, newline="")
    result = check("fast.yaml", "--add-ignore", "later")
    assert (result.exit_code, file.read_text()) == (1, text)


def test_a_finding_about_the_whole_file_has_a_line_that_a_comment_can_be_put_to(file: Path) -> None:
    file.write_text("# head\nversion: 1\nreuse: {threshold: 0.1}\n")
    steps = ("fast.yaml", "--steps", "8")
    assert "fast.yaml:2:1: warning[no-step-left]" in check(*steps).stdout
    assert check(*steps, "--add-ignore", "later").exit_code == 0
    assert check(*steps).stdout == "1 policy checked, 0 findings\n"


@pytest.mark.parametrize(
    "data",
    [
        b"version: 1\nsteps: 1101\n\xff\n",
        b"version: 1\nsteps: 1101\n# " + b"x" * 3_000_000 + b"\nend: 1\n",
        b"version: 1\n\x00",
        b"- 1\n",
        b"",
    ],
    ids=["no text", "too large", "binary", "a list", "empty"],
)
@pytest.mark.parametrize("option", ["--fix", "--unsafe-fixes"])
def test_what_cannot_be_mended_goes_on_as_it_is(data: bytes, option: str) -> None:
    result = CliRunner().invoke(main, ["check", "-", option], input=data)
    assert result.exit_code == 1
    assert result.stdout_bytes == data


def test_options_that_go_with_standard_input() -> None:
    assert check("fast.yaml", "--stdin-filename", "x.yaml").exit_code == 2
    assert check("-", "--add-ignore", "later", stdin="version: 1\n").exit_code == 2


def test_a_file_whose_name_no_policy_can_have_is_to_be_renamed() -> None:
    Path("\u6f22.yaml").write_text("version: 1\nname: slow\nwarmup: 4\n")
    result = check("\u6f22.yaml", "--unsafe-fixes")
    assert "its file `\u6f22.yaml` (call the file `slow.yaml`)" in result.stdout
    assert "name: slow" in Path("\u6f22.yaml").read_text()


@pytest.mark.parametrize("misspelt", ["verson", "Version", "versions"])
def test_a_misspelt_version_is_renamed_and_no_second_one_added(file: Path, misspelt: str) -> None:
    before = f"# mine\n{misspelt}: 1\nname: fast\n"
    file.write_text(before)
    assert check("fast.yaml", "--fix").exit_code == 1
    assert file.read_text() == before
    assert check("fast.yaml", "--unsafe-fixes").exit_code == 0
    assert file.read_text() == "# mine\nversion: 1\nname: fast\n"
