"""What a document holds, and that every value knows where it begins and ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cachedsl.text.document import MAX_BYTES, Document, Node, parse_document
from cachedsl.text.edit import apply_edits
from cachedsl.text.finding import Edit
from cachedsl.text.scalars import resolve_scalar, written
from tests.text.strategies import STRINGS, TREES, VALUES, documents


def parse(text: str) -> Document:
    return parse_document(text, "p.yaml")


def nodes(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node.value, dict):
        for inner in node.value.values():
            yield from nodes(inner)
    elif isinstance(node.value, list):
        for inner in node.value:
            yield from nodes(inner)


def reread(document: Document, node: Node) -> Any:
    """Read the text of one value alone, at the indentation that it has in the file."""
    span = node.span
    text = document.text[span.start : span.end]
    if text[:1] in "|>" and text:
        text += "\n"
    if isinstance(node.value, dict | list) and node.bracket is None:
        return parse(f"v:\n{' ' * (span.column - 1)}{text}".replace("\n", "\n "))
    return parse(f"v: {text}")


@settings(max_examples=100, deadline=None)
@given(documents())
def test_a_text_holds_what_was_written_and_every_value_knows_its_place(written: tuple[str, Any]) -> None:
    text, tree = written
    document = parse(text)
    assert document.findings == ()
    assert not document.broken
    assert document.root is not None
    assert document.root.plain() == tree  # type: ignore[union-attr]
    for node in nodes(document.root):
        span = node.span
        piece = text[span.start : span.end]
        assert document.span(span.start, span.end).end_column == span.end_column
        assert piece.strip(" \t\r\n") == piece or piece[:1] in "|>"
        again = reread(document, node)
        assert again.root is not None, piece
        assert again.root.mapping["v"].plain() == node.plain(), piece
        for key, place in node.keys.items():
            written_key = parse(f"{text[place.start : place.end]}: 1").root
            assert written_key is not None
            assert list(written_key.mapping) == [key]


@settings(max_examples=100, deadline=None)
@given(documents())
def test_comments_are_all_that_stands_outside_of_values(written: tuple[str, Any]) -> None:
    text, _ = written
    document = parse(text)
    for comment in document.comments:
        assert comment.text.startswith("#")
        assert text[comment.span.start : comment.span.end] == comment.text
        assert comment.text in ("# head", "# foot", "# in # brackets", "# said: so", "# c:", "# c", "# left")
    without = apply_edits(text, [Edit(c.span.start, c.span.end, "") for c in document.comments])
    again = parse(without)
    assert again.comments == ()
    assert again.root is not None
    assert document.root is not None
    assert again.root.plain() == document.root.plain()


def test_a_hash_in_a_value_begins_no_comment() -> None:
    text = "a: 'x # y' # 1\nb: |  # 2\n  # z\nc: x#y\nd: [1, # 3\n  \"#\"]\n%#\n"
    assert [comment.text for comment in parse(text[:-3]).comments] == ["# 1", "# 2", "# 3"]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("a:\n  b: 1\n\n# c\nd: 2", "b: 1"),
        ("a:\n- 1\n-\n\n\nd: 2", "- 1\n-"),
        ("a: |\n  x\n\n\nd: 2", "|\n  x"),
        ("a: |+\n  x\n\nd: 2", "|+\n  x\n"),
        ("a: >-\n  x\n   \n\nd: 2", ">-\n  x\n   "),
        ("a: {x: 1,\n  y}  # c\nd: 2", "{x: 1,\n  y}"),
        ("a: x\n  y  \n\nd: 2", "x\n  y"),
        ("a: &n\n  b: 1\nd: 2", "&n\n  b: 1"),
        ("a:\n\n# c\nd: 2", ""),
    ],
)
def test_where_a_value_ends(text: str, piece: str) -> None:
    root = parse(text).root
    assert root is not None
    span = root.mapping["a"].span
    assert text[span.start : span.end] == piece
    lines = text[: span.end].split("\n")
    assert (span.end_line, span.end_column) == (len(lines), len(lines[-1]) + 1)


JSON = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=9,
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=100, deadline=None)
@given(JSON, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
@example({"a": "😀", "\U0001f600": 1e22}, None, False)
def test_json_is_yaml(tree: Any, indent: int | str | None, tight: bool) -> None:
    separators = (",", ":") if tight else None
    text = json.dumps(tree, indent=indent, separators=separators)
    root = parse(text).root
    assert root is not None
    assert root.plain() == tree
    assert parse(written(tree)).root.plain() == tree  # type: ignore[union-attr]


@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    root = parse(f"v: {written(value)}\nw: [{written(value)}]").root
    assert root is not None
    assert root.plain() == {"v": value, "w": [value]}


def test_half_of_a_surrogate_pair_is_none() -> None:
    document = parse('a: "\\uD83D"\nb: "\\uDE00\\uD83D"\nc: "\\uD83D\\uDE00"')
    assert [(f.code, f.span.line) for f in document.findings] == [("bad-character", 1), ("bad-character", 2)]
    assert document.broken
    assert document.root is not None
    assert document.root.plain() == {"a": "", "b": "", "c": "😀"}


def test_numbers_stay_such_as_python_prints() -> None:
    document = parse(f"a: {'9' * 4001}\nb: 0x{'f' * 3990}\nc: 0x{'f' * 2990}")
    assert [f.code for f in document.findings] == ["syntax", "syntax"]
    assert document.root is not None
    assert str(document.root.plain()["c"])
    assert resolve_scalar("0o17") == 15


def test_aliases_do_not_nest_deeper_than_brackets() -> None:
    text = f"a: &a {'[' * 40}{']' * 40}\nb: {'[' * 20}*a{']' * 20}\n"
    document = parse(text)
    assert [f.code for f in document.findings] == ["too-deep"]
    assert document.broken
    assert document.root is not None
    assert "a" in document.root.mapping
    assert parse(text.replace("[" * 20, "[" * 9).replace("]" * 20, "]" * 9)).findings == ()


def test_a_file_of_many_lines_takes_as_many_events() -> None:
    def events(lines: int, line: str) -> int:
        return parse("".join(f"{line.format(i)}\n" for i in range(lines))).events

    for line in ("k{}: 1", "k: 1", "k{}: {{a: [1, 2]}} # c", "k{}: {{a: [1, 2", "- x"):
        once, twice, thrice = (events(lines, line) for lines in (50, 100, 150))
        assert twice - once == thrice - twice, line


def test_many_aliases_unfold_to_a_bounded_tree() -> None:
    text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(f"b{i}: *a\n" for i in range(3000))
    document = parse(text)
    assert [f.code for f in document.findings] == ["alias-budget"]
    assert document.root is not None
    assert len(str(document.root.plain())) < 10_000


def test_a_document_over_the_limit() -> None:
    document = parse("#" * (MAX_BYTES + 1))
    assert [str(f) for f in document.findings] == [
        "p.yaml:1:1: error[too-large]: the document is larger than 1024 KiB (the limit is 1024 KiB)"
    ]
    assert document.root is None


@given(TREES, STRINGS)
def test_a_value_s_place_is_the_same_with_other_line_breaks(tree: Any, name: str) -> None:
    text = f"{written(name)}:\n  x: {written(tree)}\n"
    spans = []
    for line_break in ("\n", "\r\n", "\r"):
        root = parse(text.replace("\n", line_break)).root
        assert root is not None
        spans.append([(n.span, n.span.end_line, n.span.end_column) for n in nodes(root)])
    assert spans[0] == spans[1] == spans[2]
