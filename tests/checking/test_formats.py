"""What `cachedsl check --output-format` writes is what other programs read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from click.testing import CliRunner, Result
from jsonschema import Draft4Validator, Draft202012Validator
from junitparser import JUnitXml

from cachedsl.checking.catalogue import all_rules
from cachedsl.checking.formats import NAMES
from cachedsl.checking.formats.full import WIDTH
from cachedsl.cli.main import main

HERE = Path(__file__).parent
SCHEMAS = HERE / "schemas"
FILES = {
    "wrong.yaml": "version: 1\nname: wrong\nwarmpu: 4\nsteps: 1101  # é\ndescription: 'ü: \U0001f600' # x\nreuse: {thres: 1}\n",
    "odd, n: 100%.yaml": "version: 1\nname: slow\nwarmup: 4\n",
    "twice.yaml": "version: 1\nwarmup: 4\nwarmup:\n  steps: 5\n",
    "fine.yaml": "version: 1\nwarmup: 6\n",
    "copy.yaml": "version: 1\nwarmup: 6\n",
    "lines.yaml": "version: 1\nreuse:\n  - 1\n  - 2\n  - 3\n  - 4\n  - 5\n  - 6\n  - 7\n  - 8\n",
    "control.yaml": 'version: 1\nname: "\\x01\\ud83d"\ndescription: \x07\n',
    "compose.yml": "services: {}\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "CACHEDSL_OUTPUT_FORMAT", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments], env=environment)


def written(form: str, *arguments: str) -> str:
    result = check(".", "--output-format", form, *arguments)
    assert result.exit_code == 1, result.output
    assert result.stderr == ""
    return result.stdout


def test_there_are_as_many_as_are_told() -> None:
    assert set(NAMES) == {
        "full", "concise", "json", "json-lines", "github", "gitlab", "junit", "sarif", "rdjson",
    }  # fmt: skip


def test_json_holds_its_schema() -> None:
    schema = json.loads((HERE.parents[1] / "schemas" / "check.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    tree = json.loads(written("json"))
    Draft202012Validator(schema).validate(tree)
    assert tree["summary"]["errors"] == sum(one["severity"] == "error" for one in tree["findings"]) >= 6
    assert {one["kind"] for one in tree["files"]} == {"policy", "stranger"}
    fixes = [one["fix"] for one in tree["findings"] if one["fix"]]
    assert {fix["safe"] for fix in fixes} == {True, False}
    lines = [json.loads(line) for line in written("json-lines").splitlines()]
    of_lines = {**schema["$defs"]["line"], "$defs": schema["$defs"]}
    for line in lines:
        Draft202012Validator(of_lines).validate(line)
    assert [{"version": 1, **one} for one in tree["findings"]] == lines
    stages = schema["$defs"]["finding"]["properties"]["stage"]["enum"]
    assert {rule.stage for rule in all_rules()} <= set(stages)


def test_places_of_json_cut_the_text_out() -> None:
    for one in json.loads(written("json"))["findings"]:
        text = Path(one["file"]).read_text(encoding="utf-8")
        start, end = one["start"], one["end"]
        lines = text.split("\n")
        assert sum(len(line) + 1 for line in lines[: start["line"] - 1]) + start["column"] - 1 == start["offset"]
        assert end["offset"] >= start["offset"]
        if one["code"] == "unknown-key":
            assert text[start["offset"] : end["offset"]] in ("warmpu", "thres")


def test_sarif_holds_its_schema() -> None:
    tree = json.loads(written("sarif"))
    Draft4Validator(json.loads((SCHEMAS / "sarif-2.1.0.json").read_text())).validate(tree)
    (run,) = tree["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.code for rule in all_rules()]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in run["results"])
    assert any("fixes" in one for one in run["results"])
    assert any("relatedLocations" in one for one in run["results"])
    uris = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]}
    assert "odd%2C%20n%3A%20100%25.yaml" in uris
    for one in run["results"]:
        region = one["locations"][0]["physicalLocation"]["region"]
        assert (region["startLine"], region["startColumn"]) <= (region["endLine"], region["endColumn"])


def test_junit_holds_its_schema(folder: Path) -> None:
    text = written("junit")
    (folder / "report.xml").write_text(text, encoding="utf-8")
    xmlschema.validate(str(folder / "report.xml"), str(SCHEMAS / "junit.xsd"))
    report = JUnitXml.fromfile(str(folder / "report.xml"))
    suites = {suite.name: suite for suite in report}
    assert (suites["fine.yaml"].tests, suites["fine.yaml"].failures) == (1, 0)
    assert suites["twice.yaml"].failures == 1
    assert "compose.yml" not in suites
    assert report.failures == json.loads(written("json"))["summary"]["errors"]


def test_gitlab_reads_the_report() -> None:
    """https://docs.gitlab.com/ci/testing/code_quality/: the keys that it reads, and those alone."""
    issues = json.loads(written("gitlab"))
    for one in issues:
        assert set(one) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert one["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert set(one["location"]) == {"path", "lines"}
        assert not one["location"]["path"].startswith(("./", "/"))
        assert 1 <= one["location"]["lines"]["begin"] <= one["location"]["lines"]["end"]
    prints = [one["fingerprint"] for one in issues]
    assert len(set(prints)) == len(prints)
    Path("wrong.yaml").write_text(f"# moved\n{FILES['wrong.yaml']}")
    assert [one["fingerprint"] for one in json.loads(written("gitlab"))] == prints


COMMAND = re.compile(r"::(error|warning) ((?:[a-zA-Z]+=[^,:\r\n]*,?)+)::([^\r\n]+)")


def test_github_reads_the_commands() -> None:
    """The grammar of workflow commands: properties without raw `,` and `:`, data without raw line breaks."""
    lines = written("github").splitlines()
    found = [COMMAND.fullmatch(line) for line in lines]
    assert all(found)
    for match in found:
        assert match is not None
        given = dict(one.split("=", 1) for one in match[2].split(","))
        assert set(given) in (
            {"file", "line", "col", "endLine", "endColumn", "title"},
            {"file", "line", "endLine", "title"},
        )
        if "col" in given:
            assert given["line"] == given["endLine"]
            assert int(given["col"]) < int(given["endColumn"])
        assert len(match[3]) < 250, "an annotation is short"
    assert any("file=odd%2C n%3A 100%25.yaml," in line for line in lines)
    assert any("did you mean `warmup`?; see `cachedsl rule unknown-key`" in line for line in lines)


def test_paths_are_those_of_the_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "a.yaml").write_text(FILES["wrong.yaml"])
    monkeypatch.chdir(folder / "inner")
    assert check("a.yaml", "--output-format", "github").stdout.startswith("::warning file=a.yaml,")
    inside = check("a.yaml", "--output-format", "github", GITHUB_WORKSPACE=str(folder)).stdout
    assert inside.startswith("::warning file=inner/a.yaml,")
    issues = json.loads(check("a.yaml", "--output-format", "gitlab", CI_PROJECT_DIR=str(folder)).stdout)
    assert {one["location"]["path"] for one in issues} == {"inner/a.yaml"}


def _bytes(text: str, place: dict[str, int]) -> int:
    lines = text.encode().split(b"\n")
    return sum(len(line) + 1 for line in lines[: place["line"] - 1]) + place["column"] - 1


def test_rdjson_is_reviewdogs() -> None:
    """The messages of reviewdog's rdf.proto; columns count bytes of UTF-8."""
    tree = json.loads(written("rdjson"))
    assert set(tree) == {"source", "diagnostics"}
    mended: dict[str, str] = {}
    for one in tree["diagnostics"]:
        allowed = {"message", "location", "severity", "code", "suggestions", "related_locations"}
        assert {"message", "location", "severity", "code"} <= set(one) <= allowed
        assert one["severity"] in ("ERROR", "WARNING", "INFO")
        assert set(one["code"]) == {"value", "url"}
        for change in one.get("suggestions", ()):
            assert set(change) == {"range", "text"}
            text = Path(one["location"]["path"]).read_text(encoding="utf-8")
            start, end = (_bytes(text, change["range"][key]) for key in ("start", "end"))
            data = text.encode()
            mended[one["code"]["value"]] = (data[:start] + change["text"].encode() + data[end:]).decode()
    assert '\nsteps: "1101"  # é\n' in mended["bad-value"]
    assert (
        mended["unknown-key"].startswith("version: 1\nname: wrong\nwarmup: 4\n") or "threshold" in mended["unknown-key"]
    )


def test_full_shows_the_lines_the_places_and_the_fix() -> None:
    text = written("full")
    assert ("error[unknown-key]: unknown key `warmpu`\n --> wrong.yaml:3:1\n  |\n3 | warmpu: 4\n  | ^^^^^^\n") in text
    assert "  = unsafe fix: Rename it to `warmup`\n  - warmpu: 4\n  + warmup: 4\n" in text
    assert '  = fix: Put it in quotes\n  - steps: 1101  # é\n  + steps: "1101"  # é\n' in text
    related = "  = the first place:\n --> twice.yaml:2:1\n  |\n2 | warmup: 4\n  | ------\n"
    assert related in text
    assert "  = rule: https://cachedsl.dev/rules/#duplicate-key\n" in text
    assert " 3 |   - 1\n   |   ^^^\n 4 |   - 2\n   |   ^^^\n" in text
    assert "...\n10 |   - 8\n" in text, "of a long place the first lines and the last"
    assert "policies checked, 9 findings (1 mended by --fix, 3 by --unsafe-fixes)\n" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_the_marker_stands_under_wide_characters(folder: Path) -> None:
    (folder / "wide.yaml").write_text("version: 1\nstacks: {日本: {tial: 1}}\n", encoding="utf-8")
    lines = check("wide.yaml", "--output-format", "full").stdout.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("2 | "))
    assert lines[at + 1].index("^") == lines[at].index("tial") + 2, "each of the two is two columns wide"
    assert lines[at + 1].endswith(" ^^^^")


def test_a_long_line_is_cut_around_the_place(folder: Path) -> None:
    (folder / "long.yaml").write_text(f"version: 1\ndescription: {'x' * 3000}\nstacks: {{{'s' * 900}: {{tial: 1}}}}\n")
    lines = check("long.yaml", "--output-format", "full").stdout.splitlines()
    assert any("tial" in line for line in lines)
    assert max(len(line) for line in lines if line.startswith("3 |")) < 250


@pytest.mark.parametrize(
    ("environment", "arguments", "coloured"),
    [
        ({}, ["--color", "always"], True),
        ({}, [], False),
        ({"NO_COLOR": "1"}, ["--color", "never"], False),
    ],
)
def test_colours_are_chosen(environment: dict[str, str], arguments: list[str], coloured: bool) -> None:
    result = check("wrong.yaml", "--output-format", "full", *arguments, **environment)
    assert ("\x1b[" in result.stdout) == coloured


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="the system has no terminals of its own")
@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_gets_full_and_colours(more: dict[str, str], coloured: bool) -> None:
    ours, theirs = os.openpty()
    environment = {"TERM": "xterm", **{key: value for key, value in os.environ.items() if key != "NO_COLOR"}, **more}
    command = [sys.executable, "-m", "cachedsl", "check", "wrong.yaml"]
    with subprocess.Popen(command, stdout=theirs, stdin=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:
            pass  # the other side is closed
    os.close(ours)
    assert process.returncode == 1
    assert b" wrong.yaml:3:1\r\n" in shown
    assert (b"\x1b[31m" in shown) == coloured


def test_the_format_comes_from_the_environment_and_goes_to_a_file(folder: Path) -> None:
    assert json.loads(check(".", CACHEDSL_OUTPUT_FORMAT="json").stdout)["version"] == 1
    assert check(".", "--output-format", "concise", CACHEDSL_OUTPUT_FORMAT="json").stdout.startswith("control.yaml:")
    assert check(".", CACHEDSL_OUTPUT_FORMAT="yaml").exit_code == 2
    result = check(".", "--output-format", "json", "-o", "report.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads((folder / "report.json").read_text())["version"] == 1


def test_a_clean_folder_in_every_format(tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    clean.mkdir()
    (clean / "fine.yaml").write_text("version: 1\n")
    outputs: dict[str, Any] = {form: check("clean", "--output-format", form) for form in NAMES}
    assert {result.exit_code for result in outputs.values()} == {0}
    assert outputs["concise"].stdout == outputs["full"].stdout == "1 policy checked, 0 findings\n"
    assert outputs["github"].stdout == outputs["json-lines"].stdout == ""
    assert json.loads(outputs["gitlab"].stdout) == []
    assert json.loads(outputs["sarif"].stdout)["runs"][0]["results"] == []


NAMES_OF_KEYS = [
    "version: 1\n{}: 1\nwarmup: 4\n",
    "version: 1\nextends: {}\n",
    "version: 1\nname: {}\nwarmup: 4\n",
    "version: 1\nwarmup: {}\n",
    "version: 1\nstacks: {{{}: {{warmup: 4}}}}\n",
    "version: 1\nreuse: {{signal: {{tap: magnitude, ratios: {}}}}}\n",
    "family: x\ntransformers: {{{}: {{stacks: {{b: {{pattern: 1, long_skips: 1}}}}}}}}\n",
]


@pytest.mark.parametrize("text", NAMES_OF_KEYS)
@pytest.mark.parametrize("name", ["x" * 5000, "\u6f22" * 3000])
def test_a_name_without_end_makes_no_message_without_end(folder: Path, text: str, name: str) -> None:
    (folder / "long.yaml").write_text(text.format(name), encoding="utf-8")
    result = check("long.yaml", "--model", "flux", "--steps", "28", "--output-format", "json")
    found = json.loads(result.stdout)["findings"]
    assert found
    assert all(len(one["message"]) < 1000 and len(one["hint"] or "") < 1000 for one in found)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
@pytest.mark.parametrize("form", NAMES)
def test_a_name_of_a_file_need_not_be_utf_8(folder: Path, form: str) -> None:
    name = os.fsdecode(b"\xff\xfe \xc3\xa4.yaml")
    (folder / name).write_text(FILES["wrong.yaml"])
    done = check(name, "--output-format", form, "-o", "report")
    assert done.exit_code == 1, done.output
    text = (folder / "report").read_bytes().decode("utf-8")
    if form == "sarif":
        assert "%FF%FE%20%C3%A4.yaml" in text
    assert check(name, "--baseline", "base.json", "--write-baseline").exit_code == 0
    assert "gone" not in check(name, "--baseline", "base.json", "--output-format", "concise").stdout


def test_the_change_of_a_long_line_is_shown(folder: Path) -> None:
    (folder / "wide.yaml").write_text(
        "version: 1\nreuse: {" + " " * 3000 + "thres: 1," + " " * 3000 + "max_total: 3}\n"
    )
    lines = check("wide.yaml", "--output-format", "full").stdout.splitlines()
    assert [line.split("...")[1] for line in lines if line.startswith(("  - ", "  + "))] == [
        " " * 35 + "thres: 1," + " " * (WIDTH - 3 - 40 - 4),
        " " * 35 + "threshold: 1," + " " * (WIDTH - 3 - 40 - 8),
    ]
    place = lines.index(" --> wide.yaml:2:3009") + 2
    assert lines[place].startswith("2 | ..." + " " * 40 + "thres: 1,")
    assert lines[place + 1] == "  | " + " " * 43 + "^^^^^"
