"""Which findings `cachedsl check` shows: by selection, configuration, comments and a baseline, and how it ends."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachedsl.checking import run as module
from cachedsl.checking.config import KEYS, config_of
from cachedsl.checking.ignores import add_ignores, ignores_of
from cachedsl.checking.run import Options, Run
from cachedsl.cli.main import main
from cachedsl.text.document import parse_document
from cachedsl.text.finding import Rule

SLOW = "version: 1\nname: slow\nwarmup: 4\n"
WRONG = "version: 1\nname: slow\nwarmpu: 4\ntail: 1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fast.yaml").write_text(SLOW)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["check", "--output-format", "concise", *arguments], input=stdin)


def codes(*arguments: str, stdin: str = "") -> list[str]:
    lines = check(*arguments, stdin=stdin).stdout.splitlines()
    return [line.split("[")[1].split("]")[0] for line in lines if "[" in line.partition(": ")[2][:20]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["file-name", "file-name", "unknown-key"]),
        (["--select", "style"], ["file-name", "file-name"]),
        (["--select", "unknown-key"], ["unknown-key"]),
        (["--select", "correctness,style"], ["file-name", "file-name", "unknown-key"]),
        (["--select", "style", "--extend-select", "unknown-key"], ["file-name", "file-name", "unknown-key"]),
        (["--ignore", "style"], ["unknown-key"]),
        (["--ignore", "style", "--select", "file-name"], ["file-name", "file-name"]),
        (["--select", "style", "--ignore", "file-name"], []),
        (["--ignore", "all", "--select", "unknown-key"], ["unknown-key"]),
    ],
)
def test_rules_are_chosen_by_code_and_category(arguments: list[str], expected: list[str]) -> None:
    assert codes(".", *arguments) == expected


def test_a_code_that_is_none_is_wrong_use() -> None:
    for option in ("--select", "--ignore", "--extend-select"):
        result = check(".", option, "file-nmae")
        assert result.exit_code == 2
        assert "did you mean `file-name`?" in result.stderr


def test_what_cannot_be_read_is_told_whatever_is_selected(folder: Path) -> None:
    (folder / "broken.yaml").write_text("version: 1\n\ttail: 1\n")
    assert codes("broken.yaml", "--select", "style") == ["tab-indent"]
    assert codes("broken.yaml", "--ignore", "tab-indent") == ["tab-indent"]


def test_exit_status() -> None:
    assert check("fast.yaml").exit_code == 0
    assert check("fast.yaml", "--fail-on", "warning").exit_code == 1
    assert check("wrong.yaml").exit_code == 1
    assert check("wrong.yaml", "--exit-zero").exit_code == 0
    assert check("wrong.yaml", "--ignore", "unknown-key").exit_code == 0
    assert check("nowhere.yaml").exit_code == 2
    assert check("fast.yaml", "--model", "flx").exit_code == 2


def test_a_fault_of_ours_is_3_and_says_how_to_report_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(module, "check_source", failing)
    result = check("fast.yaml")
    assert result.exit_code == 3
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first == "cachedsl failed while it checked fast.yaml: KeyError: 'x'"
    assert "please report it" in second
    monkeypatch.setenv("CACHEDSL_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in check("fast.yaml").stderr


def test_pyproject_says_what_is_looked_for(folder: Path) -> None:
    config = folder / "pyproject.toml"
    config.write_text('[tool.cachedsl]\nignore = ["style"]\n')
    assert codes(".") == ["unknown-key"]
    assert codes(".", "--ignore", "unknown-key") == ["file-name", "file-name"]
    config.write_text('[tool.cachedsl]\nselect = ["correctness"]\nextend-select = ["file-name"]\n')
    assert codes(".") == ["file-name", "file-name", "unknown-key"]
    config.write_text('[tool.cachedsl]\nfail-on = "warning"\noutput-format = "json"\n')
    result = CliRunner().invoke(main, ["check", "fast.yaml"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["summary"]["warnings"] == 1


def test_per_file_ignores_and_the_nearest_file_hold(folder: Path) -> None:
    inner = folder / "old" / "deep"
    inner.mkdir(parents=True)
    (inner / "a.yaml").write_text(SLOW)
    config = folder / "pyproject.toml"
    config.write_text('[tool.cachedsl]\nper-file-ignores = {"old/**" = ["style"], "wrong.yaml" = ["all"]}\n')
    assert codes(".") == ["file-name"]
    config.write_text('[tool.cachedsl]\nignore = ["style"]\n')
    (folder / "old" / "pyproject.toml").write_text('[tool.other]\nx = "cachedsl"\n')
    assert codes("old") == [], "a pyproject.toml that says nothing of cachedsl is passed over"
    (folder / "old" / "pyproject.toml").write_text("[tool.cachedsl]\n")
    assert codes("old") == ["file-name"]
    assert codes(".") == ["unknown-key", "file-name"] or codes(".") == ["file-name", "unknown-key"]


def test_what_is_wrong_with_pyproject_is_a_finding(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.cachedsl]\nignroe = ["style"]\n')
    result = check("fast.yaml")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "pyproject.toml:2:1: error[bad-config]: unknown key `ignroe` (did you mean `ignore`?"
    )


def test_standard_input_lies_where_it_is_said_to(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "pyproject.toml").write_text(
        '[tool.cachedsl]\nper-file-ignores = {"slow.yaml" = ["file-name"]}\n'
    )
    assert codes("-", stdin=SLOW) == []
    assert codes("-", "--stdin-filename", "fast.yaml", stdin=SLOW) == ["file-name"]
    assert codes("-", "--stdin-filename", "inner/other.yaml", stdin=SLOW) == ["file-name"]
    assert codes("-", "--stdin-filename", "inner/slow.yaml", stdin=WRONG) == ["unknown-key"]
    (folder / "wrong.yaml").unlink()
    assert codes(".", "-", "--stdin-filename", "fast.yaml", stdin=WRONG) == ["file-name", "unknown-key"], "not twice"
    (folder / "base.yaml").write_text("version: 1\ntail: 2\n")
    beside = check("-", "--stdin-filename", "inner/new.yaml", stdin="version: 1\nextends: ../base.yaml\n")
    assert "extends-outside" in beside.stdout, "the tree of inner/pyproject.toml is a tree of its own"
    assert codes("-", "--stdin-filename", "new.yaml", stdin="version: 1\nextends: base.yaml\nwarmup: 4\n") == []


def test_models_and_steps_make_what_does_not_fit_fail(folder: Path) -> None:
    (folder / "mask.yaml").write_text('version: 1\nsteps: "1101"\nstacks: {singel_*: {tail: 1}}\n')
    assert codes("mask.yaml") == []
    assert codes("mask.yaml", "--model", "flux") == ["unknown-stack"]
    assert codes("mask.yaml", "--steps", "28") == ["mask-length"]
    assert codes("mask.yaml", "--steps", "4") == []
    assert codes("mask.yaml", "--model", "flux", "--steps", "28") == ["mask-length", "unknown-stack"]
    (folder / "pyproject.toml").write_text(
        '[[tool.cachedsl.plans]]\npolicy = "m*.yaml"\nmodel = "FluxTransformer2DModel"\nsteps = [4, 28]\n'
    )
    assert codes("mask.yaml") == ["mask-length", "unknown-stack"]
    assert codes("fast.yaml") == ["file-name"]


def test_what_extends_a_named_file_is_checked_with_it(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("")
    inner = folder / "inner"
    inner.mkdir()
    (inner / "child.yaml").write_text("version: 1\nextends: ../base.yaml\npredict: {order: 2}\n")
    (inner / "grandchild.yaml").write_text("version: 1\nextends: 'child.yaml'\ntail: 1\n")
    (folder / "base.yaml").write_text("version: 1\npredict: taylor\n")
    assert codes("base.yaml") == []
    (folder / "base.yaml").write_text("version: 1\npredict: copy\n")
    lines = check("base.yaml").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == ["inner/child.yaml", "inner/child.yaml"][: len(lines) - 1]
    assert "no-effect" in lines[0]
    assert check("base.yaml").exit_code == 1
    assert codes("base.yaml", "--no-dependents") == []


def test_a_comment_ignores_where_it_stands(folder: Path) -> None:
    file = folder / "fast.yaml"
    file.write_text("version: 1\nname: slow  # cachedsl: ignore[file-name] as in the paper\n")
    assert codes("fast.yaml") == []
    file.write_text("version: 1\n# cachedsl: ignore[style]\nname: slow\nwarmup: 4\n")
    assert codes("fast.yaml") == []
    file.write_text("version: 1  # cachedsl: ignore[file-name]\nname: slow\n")
    assert codes("fast.yaml") == ["unused-ignore", "file-name"]
    assert codes("fast.yaml", "--ignore", "file-name") == [], "nobody knows whether what is not looked for is there"
    file.write_text("# cachedsl: ignore-file[tab-indent]\nversion: 1\n\ttail: 1\n")
    assert codes("fast.yaml") == ["tab-indent"]


def test_comments_are_added_and_hold(folder: Path) -> None:
    result = check(".", "--add-ignore", "to be looked at")
    assert result.exit_code == 0
    assert result.stdout == "3 findings ignored by comments\n"
    assert (folder / "wrong.yaml").read_text() == (
        "version: 1\nname: slow  # cachedsl: ignore[file-name] to be looked at\n"
        "warmpu: 4  # cachedsl: ignore[unknown-key] to be looked at\ntail: 1\n"
    )
    assert codes(".") == []
    (folder / "broken.yaml").write_text("version: 1\n\ttail: 1\n")
    failed = check(".", "--add-ignore", "x")
    assert failed.exit_code == 1
    assert "no comment can be put to: broken.yaml:2:1: error[tab-indent]" in failed.stderr
    assert check(".", "--add-ignore", "x\ny").exit_code == 2


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("name: a  # why\nx: 1\n", 1, "name: a  # why  # cachedsl: ignore[made-up] r\nx: 1\n"),
        ("name: a  # cachedsl: ignore[x] r\n", 1, "name: a  # cachedsl: ignore[x, made-up] r\n"),
        ("name: |\n  a\n  b\nx: 1\n", 2, None),
        ("a:\n  b: 'x\n    y'\n", 2, "a:\n  # cachedsl: ignore[made-up] r\n  b: 'x\n    y'\n"),
        ("a: 1\r\nb: 2\r\n", 2, "a: 1\r\nb: 2  # cachedsl: ignore[made-up] r\r\n"),
        ("a: 1", 1, "a: 1  # cachedsl: ignore[made-up] r"),
        ('{"a": 1}\n', 1, '{"a": 1}  # cachedsl: ignore[made-up] r\n'),
    ],
)
def test_a_comment_never_changes_what_the_file_says(text: str, line: int, expected: str | None) -> None:
    document = parse_document(text, "a.yaml")
    at = [begin for begin, _ in document.lines.all()][line - 1]
    found = Rule("made-up", "file", "x").finding("m", document.span(at, at + 1))
    changed, left = add_ignores(document, [found], "r")
    assert changed == (text if expected is None else expected)
    assert bool(left) == (expected is None)


YAML_LINES = st.sampled_from(["a: 1", "b: 'x", "  y'", "c: |", "  text", "# c", "", "d: [1,", "  2]", "e: {f: g}  # h"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(YAML_LINES, min_size=1, max_size=8), st.integers(0, 7))
def test_added_comments_keep_every_value(lines: list[str], at: int) -> None:
    text = "\n".join(lines) + "\n"
    document = parse_document(text, "a.yaml")
    starts = [begin for begin, _ in document.lines.all()]
    found = Rule("made-up", "file", "x").finding("m", document.span(starts[at % len(starts)]))
    changed, left = add_ignores(document, [found], "r")
    again = parse_document(changed, "a.yaml")
    assert (None if again.root is None else again.root.plain()) == (
        None if document.root is None else document.root.plain()
    )
    if not left:
        assert any("made-up" in one.names for one in ignores_of(again))


def test_a_baseline_hides_what_is_known_and_nothing_new(folder: Path) -> None:
    assert check(".", "--write-baseline").exit_code == 2
    assert check(".", "--baseline", "base.json").exit_code == 2
    result = check(".", "--baseline", "base.json", "--write-baseline")
    assert (result.exit_code, result.stdout) == (0, "3 findings written to base.json\n")
    assert codes(".", "--baseline", "base.json") == []
    (folder / "wrong.yaml").write_text(f"# moved\n{WRONG}warmpu2: 4\n")
    assert codes(".", "--baseline", "base.json") == ["unknown-key"], "a line above changes nothing"
    (folder / "fast.yaml").write_text("version: 1\nwarmup: 4\n")
    gone = check(".", "--baseline", "base.json").stdout
    assert "1 finding of the baseline gone: --write-baseline takes them out\n" in gone
    (folder / "pyproject.toml").write_text('[tool.cachedsl]\nbaseline = "base.json"\n')
    assert codes(".") == ["unknown-key"]
    (folder / "inner").mkdir()
    (folder / "broken.yaml").write_text("version: 1\n\ttail: 1\n")
    written = check(".", "--write-baseline")
    assert "left out: 1 file that cannot be read" in written.stderr
    assert codes(".") == ["tab-indent"]


@pytest.mark.parametrize("text", ["{}", "[", '{"format": "cachedsl.baseline", "version": 1, "findings": [1]}'])
def test_a_file_that_is_no_baseline_is_refused(folder: Path, text: str) -> None:
    (folder / "base.json").write_text(text)
    result = check(".", "--baseline", "base.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("base.json: ")
    assert (folder / "base.json").read_text() == text


def test_statistics_count_each_rule() -> None:
    assert check(".", "--statistics").stdout.splitlines() == [
        "2  file-name    [-]  a policy's `name` is not that of its file",
        "1  unknown-key  [-]  a key that the language does not have",
        "2 policies checked, 3 findings",
    ]
    tree = json.loads(check(".", "--statistics", "--output-format", "json").stdout)
    assert [(one["code"], one["count"], one["fix"]) for one in tree] == [
        ("file-name", 2, "unsafe"),
        ("unknown-key", 1, "unsafe"),
    ]


def test_a_folder_rule_is_judged_where_the_folder_is(folder: Path) -> None:
    (folder / "wrong.yaml").unlink()
    (folder / "fast.yaml").write_text("version: 1\n# cachedsl: ignore[same-plan]\nwarmup: 4\n")
    assert codes("fast.yaml") == []
    assert codes(".") == ["unused-ignore"]


def test_what_a_run_reads_it_reads_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(["."], io.BytesIO(), Options())
    for file in folder.glob("*.yaml"):
        file.unlink()
    assert [one.code for checked in run.examine() for one in checked.findings]


def test_the_tables_of_the_page_are_what_is_read(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
    tables = re.findall(r"```toml\n(.*?)```", page, re.S)
    assert len(tables) == 3
    for text in tables:
        (folder / "pyproject.toml").write_text(text)
        config = config_of(folder)
        assert config.findings == ()
        assert config.file is not None
    assert set(re.findall(r"^([a-z-]+) =", tables[-1], re.M)) == set(KEYS) - {"plans"}
    options = set(re.findall(r"--[a-z-]+", CliRunner().invoke(main, ["check", "--help"]).output))
    told = set(re.findall(r"`(?:cachedsl check )?(--[a-z-]+)", page))
    assert (
        options - told - {"--help", "--color", "--output-file", "--no-dependents", "--dependents", "--steps", "--model"}
        == set()
    )
