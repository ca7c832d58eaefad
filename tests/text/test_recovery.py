"""The tree is as whole as it can be where the text is not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cachedsl.text.document import MAX_BYTES, parse_document, read_document, read_stream
from cachedsl.text.finding import PolicyError, Related, Rule, Span, capped, in_file_order
from cachedsl.text.rules import TEXT_RULES

CASES: dict[str, Any] = {
    "version: 1\nreuse: {threshold: 0.1": {"version": 1, "reuse": {"threshold": 0.1}},
    "version: 1\nreuse: {threshold: 0.1\ntail: 3\nx: 1": {"version": 1, "reuse": {}, "tail": 3, "x": 1},
    "versio\nreuse: 1\n": {"reuse": 1},
    "reuse:\n  thres\n  signal: x\ntail: 1\n": {"reuse": {"signal": "x"}, "tail": 1},
    'name: "abc\ntail: 3\nwarmup: 4\n': {"tail": 3, "warmup": 4},
    "a:\n\tb: 1\n\tc: 2\nd: 3": {"a": {"b": 1, "c": 2}, "d": 3},
    "version: 1\nfoo\ntail: 3\n": {"version": 1, "tail": 3},
    "a: {\n x: 1,\n y: : 2,\n z: 3\n}\nb: 2": {"a": {"x": 1, "z": 3}, "b": 2},
    "x: @\ny: `\nz: %\nok: 1\n": {"ok": 1},
    'a: "\\UFFFFFFFF"\nb: 1': {"b": 1},
    "a: \x07b\nc: 1": {"a": "\ufffdb", "c": 1},
    "a: 1\nb: *x\nc: 1": {"a": 1, "b": None, "c": 1},
}


@pytest.mark.parametrize("text", CASES)
def test_what_is_left_of_a_broken_text(text: str) -> None:
    document = parse_document(text, "p.yaml")
    assert len(document.findings) == 1
    assert document.broken
    assert document.root is not None
    assert document.root.plain() == CASES[text]
    assert document.text == text


def test_what_follows_a_syntax_error_is_not_reported_and_what_precedes_it_is() -> None:
    document = parse_document("3: 1\na: 1\na: 2\nb: @\nc: 1\nc: 2\nd: @\n", "p.yaml")
    assert [finding.code for finding in document.findings] == ["bad-key", "duplicate-key", "syntax"]
    assert document.findings[1].related == (Related("the first place", Span("p.yaml", 2, 1)),)


def test_the_attempts_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_document("a: @\n" * 1000, "p.yaml").events < 500
    monkeypatch.setattr("cachedsl.text.recovery.MAX_REREAD", 6000)
    assert parse_document("k: 1\n" * 1000 + "a: @\n" * 9, "p.yaml").events < 2 * 2010
    large = parse_document("k: 1\n" * 2000 + "a: @\nb: 1\n", "p.yaml")
    assert large.events < 4010
    assert large.root is not None
    assert large.root.plain() == {"k": 1}


@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: rule.code)
def test_the_examples_of_a_rule(rule: Rule) -> None:
    assert rule.stage == "text"
    assert rule.summary
    assert rule.why.endswith(".")
    assert not rule.summary.endswith(".")
    if rule.code == "cannot-read":
        return
    codes = [finding.code for finding in parse_document(rule.bad, "p.yaml").findings]
    assert codes == ([] if rule.code in ("too-large", "not-text") else [rule.code])
    assert parse_document(rule.good, "p.yaml").findings == ()


def test_documents_without_a_tree(tmp_path: Path) -> None:
    for data, code in {
        b"\xff": "not-text",
        b"a: 1\n\0": "not-text",
        b"#" * (MAX_BYTES + 1): "too-large",
        b"": "empty",
        b"- 1": "not-mapping",
    }.items():
        (tmp_path / "p.yaml").write_bytes(data)
        document = read_document(tmp_path / "p.yaml", "p.yaml")
        assert document.root is None
        assert [finding.code for finding in document.findings] == [code]
    for path in (tmp_path, tmp_path / "none", Path("a\0b")):
        assert [finding.code for finding in read_document(path, "p.yaml").findings] == ["cannot-read"]
    message = "p.yaml:1:1: error[cannot-read]: the file cannot be read: is a directory"
    assert str(read_document(tmp_path, "p.yaml").findings[0]) == message


class Trickle(io.RawIOBase):
    """A stream that gives three bytes at a time, and may fail."""

    def __init__(self, data: bytes, fails: bool = False) -> None:
        super().__init__()
        self.data, self.fails = data, fails

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if self.fails and not self.data:
            raise OSError(5, "Input/output error")
        part, self.data = self.data[:3], self.data[3:]
        return part


def test_a_stream_is_read_to_its_end_or_the_limit() -> None:
    root = read_stream(Trickle(b"version: 1\ntail: 2\n"), "<stdin>").root  # type: ignore[arg-type]
    assert root is not None
    assert root.plain() == {"version": 1, "tail": 2}
    failed = read_stream(Trickle(b"version: 1", fails=True), "<stdin>")  # type: ignore[arg-type]
    assert [finding.code for finding in failed.findings] == ["cannot-read"]
    with open("/dev/zero", "rb") as endless:
        assert [finding.code for finding in read_stream(endless, "z").findings] == ["too-large"]


SCRIPT = """
import sys
from pathlib import Path
from cachedsl.text.document import read_document, read_stream
document = read_stream(sys.stdin.buffer, "-") if sys.argv[1] == "-" else read_document(Path(sys.argv[1]), sys.argv[1])
print(document.root and document.root.plain(), *document.findings)
assert "torch" not in sys.modules
"""


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="the system has no /dev/stdin")
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_read(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name], input="version: 1\ntail: 2\n", capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'version': 1, 'tail': 2}\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("version: 1\n"))
    writer.start()
    document = read_document(pipe, "pipe")
    writer.join()
    assert document.root is not None
    assert document.root.plain() == {"version": 1}


RULE = Rule("some-rule", "meaning", "a rule", severity="warning")


def test_a_span_is_where_it_begins() -> None:
    assert Span("f", 2, 3) == Span("f", 2, 3, 4, 5, 10, 20)
    assert hash(Span("f", 2, 3)) == hash(Span("f", 2, 3, 4, 5, 10, 20))
    assert sorted([Span("g"), Span("f", 2), Span("f", 1, 2)]) == [Span("f", 1, 2), Span("f", 2), Span("g")]
    span = Span("f", 2, 3, start=7)
    assert (span.end_line, span.end_column, span.end, str(span)) == (2, 3, 7, "f:2:3")


def test_a_finding_is_one_line() -> None:
    finding = RULE.finding("what", Span("f", 2, 3), "the way out")
    assert str(finding) == finding.render() == "f:2:3: warning[some-rule]: what (the way out)"
    assert str(RULE.finding("what", Span("f"), severity="error")) == "f:1:1: error[some-rule]: what"
    assert finding.code == "some-rule"


def test_findings_in_file_order() -> None:
    one, two = RULE.finding("a", Span("f", 2)), RULE.finding("b", Span("f", 1))
    assert in_file_order([one, two, one]) == (two, one)


def test_a_great_many_findings_are_shown_in_part() -> None:
    many = [RULE.finding(f"m{i}", Span("f", i + 1), "hint") for i in range(50)]
    other = [Rule("other", "meaning", "x").finding("m", Span("f", i + 1)) for i in range(20)]
    shown = capped([*many, *other])
    assert len(shown) == 40
    assert shown[19].hint == "hint; and 30 more of `some-rule` in this file"
    assert shown[39].hint is None
    error = PolicyError(many)
    assert error.findings == error.diagnostics == tuple(many)
    assert len(str(error).splitlines()) == 20
    assert len(str(PolicyError(parse_document("a: 1\n" * 10_000, "f").findings))) < 3000
    long = parse_document(f"? {'a' * 9000}\n: 1\n? {'a' * 9000}\n: 2\n", "f")
    assert len(str(PolicyError(long.findings))) < 1000
