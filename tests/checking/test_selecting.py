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
from cachedsl.checking.plans_table import nearest_table
from cachedsl.checking.run import Options, Run
from cachedsl.cli.main import main
from cachedsl.text.document import parse_document
from cachedsl.text.finding import PolicyError, Rule

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
    lines = check(".", "--statistics", "--output-format", "json-lines").stdout.splitlines()
    assert [json.loads(line) for line in lines] == tree
    for form in ("sarif", "junit", "github"):
        refused = check(".", "--statistics", "--output-format", form)
        assert (refused.exit_code, f"`{form}` has no place for counts" in refused.stderr) == (2, True)


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
    (folder / "policies").mkdir()
    (folder / "policies" / "flux-a.yaml").write_text("version: 1\n")
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


def test_a_baseline_keeps_what_a_call_does_not_look_at(folder: Path) -> None:
    check(".", "--baseline", "base.json", "--write-baseline")
    whole = (folder / "base.json").read_text()
    assert "gone" not in check("fast.yaml", "--baseline", "base.json").stdout, "the other file was not looked at"
    assert "gone" not in check(".", "--select", "correctness", "--baseline", "base.json").stdout
    for arguments in (["fast.yaml"], [".", "--select", "correctness"]):
        assert check(*arguments, "--baseline", "base.json", "--write-baseline").exit_code == 0
        assert (folder / "base.json").read_text() == whole
    (folder / "wrong.yaml").rename(folder / "other.yaml")
    assert "2 findings of the baseline gone" in check(".", "--baseline", "base.json").stdout
    check("other.yaml", "--baseline", "base.json", "--write-baseline")
    assert "wrong.yaml" not in (folder / "base.json").read_text(), "a file that is not there any more goes"
    assert codes(".", "--baseline", "base.json") == []


@pytest.mark.parametrize("count", ["-3", "0", "1.5", "true", "null", '"1"', "1e400"])
def test_a_count_of_a_baseline_is_a_whole_number(folder: Path, count: str) -> None:
    text = '{"format": "cachedsl.baseline", "version": 1, "findings": {"a.yaml": {"file-name": {"m": COUNT}}}}'
    text = text.replace("COUNT", count)
    (folder / "base.json").write_text(text)
    result = check(".", "--baseline", "base.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("base.json: `findings` is not file → rule → message → count")


def test_a_baseline_of_many_brackets_is_refused(folder: Path) -> None:
    (folder / "base.json").write_text("[" * 200_000)
    result = check(".", "--baseline", "base.json")
    assert (result.exit_code, "is not JSON" in result.stderr) == (2, True)
    assert check(".", "--baseline", "base.json", "--write-baseline").exit_code == 0
    assert codes(".", "--baseline", "base.json") == []


def test_the_configuration_of_a_file_holds_wherever_the_call_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "wrong.yaml").unlink()
    (folder / "pyproject.toml").write_text('[tool.cachedsl]\nfail-on = "warning"\nbaseline = "base.json"\n')
    (folder / "base.json").write_text('{"format": "cachedsl.baseline", "version": 1, "findings": {}}')
    monkeypatch.chdir(folder.parent)
    assert check(folder.name).exit_code == 1, "fail-on holds"
    assert check(folder.name, "--fail-on", "error").exit_code == 0
    assert check(folder.name, "--write-baseline").stdout.startswith("1 finding written to ")
    assert check(folder.name).exit_code == 0, "the baseline holds"


@pytest.mark.parametrize(
    "options",
    [
        ["--write-baseline", "--baseline", "b.json", "--fix"],
        ["--add-ignore", "later", "--diff"],
        ["--add-ignore", "later", "--unsafe-fixes"],
        ["--diff", "-o", "out.txt"],
        ["--add-ignore", "later", "--statistics"],
    ],
)
def test_options_of_which_one_would_do_nothing_are_refused(folder: Path, options: list[str]) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    result = check(".", *options)
    assert result.exit_code == 2
    assert "do not go together" in result.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("pattern", "hidden"),
    [
        ("inner/*.yaml", {"inner/fast.yaml", "inner/deep/fast.yaml"}),
        ("./inner/fast.yaml", {"inner/fast.yaml"}),
        ("inner", {"inner/fast.yaml", "inner/deep/fast.yaml"}),
        ("inner/deep/", {"inner/deep/fast.yaml"}),
        ("**/fast.yaml", {"fast.yaml", "inner/fast.yaml", "inner/deep/fast.yaml"}),
        ("inner/**/fast.yaml", {"inner/fast.yaml", "inner/deep/fast.yaml"}),
        ("fast.yaml", {"fast.yaml", "inner/fast.yaml", "inner/deep/fast.yaml"}),
        ("inne", set()),
    ],
)
def test_which_files_a_pattern_means(folder: Path, pattern: str, hidden: set[str]) -> None:
    (folder / "wrong.yaml").unlink()
    (folder / "inner" / "deep").mkdir(parents=True)
    for name in ("inner", "inner/deep"):
        (folder / name / "fast.yaml").write_text((folder / "fast.yaml").read_text())
    (folder / "pyproject.toml").write_text(f'[tool.cachedsl]\nper-file-ignores = {{"{pattern}" = ["file-name"]}}\n')
    found = json.loads(check(".", "--output-format", "json").stdout)["findings"]
    everywhere = {"fast.yaml", "inner/fast.yaml", "inner/deep/fast.yaml"}
    assert {one["file"] for one in found} == everywhere - hidden


@pytest.mark.parametrize("pattern", ["inner\\\\*.yaml", "/inner/*.yaml", "../x/*.yaml", ""])
def test_a_pattern_that_means_nothing_is_an_error(folder: Path, pattern: str) -> None:
    (folder / "pyproject.toml").write_text(f'[tool.cachedsl]\nper-file-ignores = {{"{pattern}" = ["style"]}}\n')
    assert "pyproject.toml:2:1: error[bad-config]: per-file-ignores: expected a path or a glob" in check(".").stdout


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xef\xbb\xbf[tool.cachedsl]\n", "it begins with a byte order mark, which TOML does not have"),
        (b'[tool.cachedsl]\nignore = ["\xff"]\n', "byte 0xff at offset 27 is not UTF-8"),
        (b"[tool.cachedsl]\nignore = " + b"[" * 5000, "values are nested too deep"),
    ],
)
def test_what_is_not_toml_is_told_by_its_cause(folder: Path, data: bytes, why: str) -> None:
    (folder / "pyproject.toml").write_bytes(data)
    result = check(".")
    assert result.exit_code == 1
    assert f"error[bad-config]: the file is not TOML: {why}" in result.stdout
    with pytest.raises(PolicyError, match=re.escape(f"error[bad-plans-table]: no TOML: {why}")):
        nearest_table(Path.cwd())


def test_a_wrong_choice_of_rules_hides_nothing(folder: Path) -> None:
    for chosen in ('"style"', '["stile"]'):
        (folder / "pyproject.toml").write_text(f"[tool.cachedsl]\nselect = {chosen}\n")
        assert codes(".") == ["bad-config", "file-name", "file-name", "unknown-key"]


def test_an_entry_of_plans_that_holds_no_policy_is_an_error(folder: Path) -> None:
    table = '[[tool.cachedsl.plans]]\npolicy = "{}"\nmodel = "flux"\nsteps = 28\n'
    for pattern, wrong in (("policies/*.yaml", True), ("fast.yaml", False), ("*.yaml", False), ("f8b0", False)):
        (folder / "pyproject.toml").write_text(table.format(pattern))
        assert ("bad-plans-table" in codes(".", "--select", "bad-plans-table")) == wrong


def test_the_table_is_that_of_the_nearest_project_that_has_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text('[[tool.cachedsl.plans]]\npolicy = "f8b0"\nmodel = "flux"\nsteps = 28\n')
    (folder / "inner").mkdir()
    monkeypatch.chdir(folder / "inner")
    for text in ("[tool.other]\n", 'dependencies = ["cachedsl"]\n'):
        (folder / "inner" / "pyproject.toml").write_text(text)
        table = nearest_table(Path.cwd())
        assert table is not None
        assert table.root == folder
