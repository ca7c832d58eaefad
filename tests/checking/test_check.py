"""`cachedsl check`: which files it looks at, what it says of them, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachedsl import load_policy
from cachedsl.checking import sources
from cachedsl.checking.check import check_source
from cachedsl.checking.dependents import dependents_of
from cachedsl.checking.sources import source_of
from cachedsl.cli.main import main
from cachedsl.lower.compile import compile_policy
from cachedsl.plan.codec import to_json
from cachedsl.plan.model_shape import ModelShape, StackShape

ADAPTER = "family: x\ntransformers: {A: {cfg: fused, stacks: {b: {pattern: hidden_only}}}}\n"
COMPOSE = 'version: "3"\nservices: {}\n'


def check(*paths: object, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(main, ["check", *map(str, paths)], input=stdin)


def started(*arguments: str | bytes, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "cachedsl", "check", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, env={**os.environ, **environment})


def plan() -> str:
    return to_json(compile_policy(load_policy("fora"), ModelShape([StackShape("blocks", 28)], "a model"), 12))


def test_every_format_is_checked_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    (tmp_path / "adapter.yml").write_text(ADAPTER)
    (tmp_path / "ratios.yaml").write_text("ratios: [1.0, 0.9]\n")
    (tmp_path / "plan.json").write_text(plan())
    (tmp_path / "package.json").write_text('{"version": 1}')
    result = check(tmp_path)
    assert result.output == "1 policy, 1 adapter, 1 file of ratios and 1 plan checked, 0 findings\n"
    assert result.exit_code == 0
    (tmp_path / "ratios.yaml").write_text("ratios: [1.0, 0]\n")
    (tmp_path / "plan.json").write_text(plan().replace('"version": 2', '"version": 7'))
    result = check(tmp_path)
    assert [line.split(": ")[1] for line in result.output.splitlines()[:-1]] == ["error[bad-plan]", "error[bad-ratios]"]
    assert result.exit_code == 1


@pytest.mark.parametrize("text", ["warmup: 3\n", "verison: 1\nwarmup: 3\n", "name: x\n"])
def test_a_policy_without_its_version_is_found_in_a_folder(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    result = check(tmp_path)
    assert result.exit_code == 1
    assert "key `version` is missing" in result.output


def test_strangers_in_a_folder_are_named_and_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\n")
    names = ["compose.yml", *(f"n{i}.yaml" for i in range(6))]
    for name in names[:3]:
        (tmp_path / name).write_text(COMPOSE)
    listed = [str(tmp_path / name) for name in names]
    assert check(tmp_path).output.splitlines() == [
        "1 policy checked, 0 findings",
        f"passed over: {', '.join(listed[:3])}",
    ]
    for name in names:
        (tmp_path / name).write_text("{{ if .a }}\nkind: b\n")
    assert check(tmp_path).output.splitlines()[1] == f"passed over: {', '.join(listed[:5])} and 2 more"
    (tmp_path / "a.yaml").unlink()
    nothing = check(tmp_path)
    assert nothing.exit_code == 2
    assert "no policies below" in nothing.output
    assert "passed over: " in nothing.output


def test_a_stranger_that_is_named_is_checked_as_a_policy(tmp_path: Path) -> None:
    stranger = tmp_path / "compose.yml"
    stranger.write_text(COMPOSE)
    for paths in ([stranger], [tmp_path, stranger], [stranger, tmp_path]):
        result = check(*paths)
        assert result.exit_code == 1
        assert result.output.endswith("1 policy checked, 2 findings\n")
    other = tmp_path / "data.json"
    other.write_text('{"a": 1}')
    assert "unknown key `a`" in check(other).output


def test_hidden_folders_are_passed_over_and_hidden_files_are_not(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.yaml").write_text("warmup: x\n")
    (tmp_path / ".policy.yaml").write_text("version: 1\n")
    assert check(tmp_path).output == "1 policy checked, 0 findings\n"
    assert check(tmp_path / ".git").exit_code == 1


def test_json_in_a_folder_counts_when_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"version": 1, "warmup": 3}')
    (tmp_path / "b.json").write_text('{"$schema": "../schemas/adapter.schema.json", "familly": "x"}')
    (tmp_path / "c.json").write_text("not json: [")
    result = check(tmp_path)
    assert result.exit_code == 1
    assert "a.json" not in result.output
    assert "c.json" not in result.output
    assert result.output.splitlines()[-1].startswith("1 adapter checked")
    assert check(tmp_path / "a.json").output == "1 policy checked, 0 findings\n"


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"a.yaml": "version: 1\n", "b.yaml": ADAPTER, "c.yaml": COMPOSE, "d.json": plan(), "e.json": "{}"}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    opened = []
    read = sources._opened
    monkeypatch.setattr(sources, "_opened", lambda file: (opened.append(Path(file).name), read(file))[1])
    assert check(tmp_path, tmp_path, tmp_path / "a.yaml").exit_code == 0
    assert opened == list(names)


def test_standard_input(tmp_path: Path) -> None:
    assert check("-", stdin="version: 1\n").output == "1 policy checked, 0 findings\n"
    wrong = check("-", stdin="version: 1\nwarmup: x\n")
    assert wrong.output.startswith("<stdin>:2:9: error[bad-value]: ")
    assert wrong.exit_code == 1
    assert check("-", "-", stdin=ADAPTER).output == "1 adapter checked, 0 findings\n"
    assert (
        "file beside it" in check("-", stdin="version: 1\nreuse: {signal: {tap: magnitude, ratios: r.yaml}}\n").output
    )


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="the system has no /dev/stdin")
def test_pipes() -> None:
    done = started("/dev/stdin", stdin=b"version: 1\nwarmup: x\n")
    assert done.returncode == 1
    assert done.stdout.startswith(b"/dev/stdin:2:9: error[bad-value]: ")
    assert started("/dev/stdin", stdin=ADAPTER.encode()).stdout == b"1 adapter checked, 0 findings\n"
    assert started("-", stdin=b"version: 1\n").stdout == b"1 policy checked, 0 findings\n"


def test_a_check_without_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\n")
    command = f'"{sys.executable}" -m cachedsl check "{tmp_path}" - <&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("<stdin>:1:1: error[empty]")


def test_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-m", "cachedsl", "check", str(pipe)], stdout=subprocess.PIPE, text=True
    ) as process:
        pipe.write_text("version: 1\n")
        assert process.communicate(timeout=60)[0] == "1 policy checked, 0 findings\n"
    assert check(tmp_path).exit_code == 2, "below a folder it is no file"


def test_places_survive_odd_paths(tmp_path: Path) -> None:
    folder = tmp_path / "a: b"
    folder.mkdir()
    policy, adapter = folder / "c: d.yaml", folder / "e: 1:2: f.yaml"
    policy.write_text("version: 1\nwarmup: x\n")
    adapter.write_text("family: x\ntransformers: {A: {cfg: perhaps, stacks: {b: {pattern: hidden_only}}}}\n")
    lines = check(folder).output.splitlines()
    assert lines[0].startswith(f"{policy}:2:9: error[bad-value]: ")
    assert lines[1].startswith(f"{adapter}:2:")
    assert ": error[" in lines[1]


def test_paths_with_control_characters_stay_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "a\nb\x1b[31m.yaml").write_text("version: 1\nwarmup: x\n")
    (tmp_path / "s\nt.yaml").write_text(COMPOSE)
    lines = check(tmp_path).output.splitlines()
    assert len(lines) == 3
    assert "a\\nb\\x1b[31m.yaml:2:9: " in lines[0]
    assert "s\\nt.yaml" in lines[2]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_paths_and_outputs_that_are_not_utf_8(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff.yaml")
    with open(name, "wb") as file:
        file.write(b"version: 1\nwarmup: x\n")
    for argument in (name, os.fsencode(tmp_path)):
        done = started(argument)
        assert done.returncode == 1
        assert b"\\udcff.yaml:2:9: error" in done.stdout
        assert done.stderr == b""
    (tmp_path / "é.yaml").write_text("version: 1\nextends: é.yaml\n")
    done = started(str(tmp_path / "é.yaml"), PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert b"\\xe9.yaml:2:10: error[extends-cycle]" in done.stdout


def test_what_cannot_be_read_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\n")
    monkeypatch.setattr(sources, "_opened", lambda file: PermissionError(13, "Permission denied", file))
    for path in (tmp_path, tmp_path / "a.yaml"):
        result = check(path)
        assert result.exit_code == 1
        assert result.output.startswith(
            f"{tmp_path}/a.yaml:1:1: error[cannot-read]: the file cannot be read: permission"
        )
        assert result.output.endswith("1 policy checked, 1 finding\n")


def test_a_link_to_nothing_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    result = check(tmp_path)
    assert result.exit_code == 1
    assert result.output.count("error[cannot-read]") == 1


def test_paths_are_shown_as_short_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "-"):
        Path(name).write_text("version: 1\nwarmup: x\n")
    assert check(".").output.startswith("a.yaml:2:9: ")
    assert check("./a.yaml").output.startswith("a.yaml:2:9: ")
    assert check("./-").output.startswith("./-:2:9: ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\n")
    command = f'"{sys.executable}" -m cachedsl check "{tmp_path}" > /dev/full'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "standard output: no space left on device"
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_listed_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\n")
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    result = check(tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path}/locked:1:1: error[cannot-read]: the folder cannot be listed: permission denied" in result.output
    assert result.output.endswith("1 policy checked, 1 finding\n")


def test_a_policy_in_another_encoding_or_too_large_is_found_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"# \xe9t\xe9\nversion: 1\nwarmup: 3\n")
    (tmp_path / "b.yaml").write_text("version: 1\nwarmup: 3\n" + "#" * 2**20)
    output = check(tmp_path).output
    assert "error[not-text]" in output
    assert "error[too-large]" in output


def test_a_warning_does_not_fail(tmp_path: Path) -> None:
    tree = json.loads(plan())
    tree["rules"] *= 2
    (tmp_path / "plan.json").write_text(json.dumps(tree))
    result = check(tmp_path)
    assert result.exit_code == 0
    assert "warning[plan-form]" in result.output
    assert result.output.endswith("1 plan checked, 1 finding\n")


def test_what_follows_from_an_error_of_the_text_is_not_said() -> None:
    found = check_source(source_of(b"version: 1\n\tx\n")).findings
    assert [one.code for one in found] == ["tab-indent"]
    found = check_source(source_of(b"version: 1\n\tx\ntail: y\n")).findings
    assert [one.code for one in found] == ["tab-indent", "bad-value"]


def test_a_link_to_itself_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "a.yaml").write_text("version: 1\nextends: loop.yaml\n")
    result = check(str(tmp_path))
    assert result.exit_code == 1
    assert "loop.yaml:1:1: error[cannot-read]" in result.stdout
    assert "a.yaml:2:10: error[extends-missing]" in result.stdout


def test_ctrl_c_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\n")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cachedsl.cli.check.Run", stopped)
    result = check(str(tmp_path))
    assert (result.exit_code, result.stderr) == (130, "stopped\n")


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nextends: my base.yaml  # why\nwarmup: 4\n",
        "version: 1\nextends: 'my base.yaml'\nwarmup: 4\n",
        '{"version": 1, "extends": "my base.yaml", "warmup": 4}\n',
        "{version: 1, extends: my base.yaml}\n",
        "version: 1\nextends: &parent my base.yaml\n",
        "version: 1\nextends:\n  my base.yaml\n",
    ],
)
def test_however_a_parent_is_written_its_children_are_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "my base.yaml").write_text("version: 1\nwarmup: 6\n")
    (tmp_path / "child.yaml").write_text(text)
    assert dependents_of([tmp_path / "my base.yaml"]) == [tmp_path / "child.yaml"]


def test_what_is_wrong_with_a_parent_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("version: 1\nwarmup: x\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("version: 1\nextends: base.yaml\n")
    for paths in ([tmp_path], [tmp_path / "base.yaml"]):
        result = check(*paths)
        assert result.exit_code == 1
        assert result.stdout.endswith("3 policies checked, 1 finding\n")
    assert check(tmp_path / "a.yaml").stdout.startswith(f"{tmp_path / 'base.yaml'}:2:9: error[bad-value]")
