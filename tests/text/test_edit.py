"""Edits change what they are meant to change, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl.text.document import Document, Node, parse_document
from cachedsl.text.edit import (
    CannotEdit,
    apply_edits,
    apply_fixes,
    insert_entry,
    remove_entry,
    rename_key,
    replace_value,
    written,
)
from cachedsl.text.finding import Edit, Finding, Fix, Rule, Span
from tests.text.strategies import STRINGS, VALUES, documents


def parse(text: str) -> Document:
    return parse_document(text, "p.yaml")


Place = tuple[str | int, ...]


def places(node: Node, path: Place = ()) -> list[Place]:
    found = [path]
    inner: Any = node.value.items() if isinstance(node.value, dict) else ()
    inner = enumerate(node.value) if isinstance(node.value, list) else inner
    for step, value in inner:
        found += places(value, (*path, step))
    return found


def at(node: Node, path: Place) -> Node:
    for step in path:
        value: Any = node.value
        node = value[step]
    return node


def checked(document: Document, edits: tuple[Edit, ...], tree: Any) -> None:
    text = apply_edits(document.text, edits)
    again = parse(text)
    assert again.findings == (), text
    assert again.root is not None
    assert again.root.plain() == tree, text
    for holder in (again.root.plain(), tree):
        assert str(again.root.plain()) == str(holder), text
    outside = [c.text for c in document.comments if not any(e.start <= c.span.start < e.end for e in edits)]
    assert [c.text for c in again.comments] == outside


def changed(tree: Any, path: Place, change: Any) -> Any:
    """Return a copy of `tree` in which `change` was made to the value at `path`."""
    if not path:
        return change(tree)
    if isinstance(tree, dict):
        return {k: changed(v, path[1:], change) if k == path[0] else v for k, v in tree.items()}
    return [changed(v, path[1:], change) if i == path[0] else v for i, v in enumerate(tree)]


def drawn_mapping(data: st.DataObject, text: str) -> tuple[Document, Place, Node]:
    document = parse(text)
    assert document.root is not None
    root = document.root
    paths = [path for path in places(root) if isinstance(at(root, path).value, dict)]
    path = data.draw(st.sampled_from(paths))
    return document, path, at(root, path)


@settings(max_examples=100, deadline=None)
@given(documents(), VALUES, st.data())
def test_a_value_is_replaced(drawn: tuple[str, Any], value: Any, data: st.DataObject) -> None:
    text, tree = drawn
    document = parse(text)
    assert document.root is not None
    path = data.draw(st.sampled_from(places(document.root)[1:]))
    edits = replace_value(document, at(document.root, path), written(value))
    checked(document, edits, changed(tree, path, lambda _: value))


@settings(max_examples=100, deadline=None)
@given(documents(), STRINGS, st.data())
def test_a_key_is_renamed(drawn: tuple[str, Any], new: str, data: st.DataObject) -> None:
    text, tree = drawn
    document, path, mapping = drawn_mapping(data, text)
    if not mapping.mapping or new in mapping.mapping:
        return
    key = data.draw(st.sampled_from(list(mapping.mapping)))
    expected = changed(tree, path, lambda it: {new if k == key else k: v for k, v in it.items()})
    checked(document, rename_key(document, mapping, key, new), expected)


@settings(max_examples=100, deadline=None)
@given(documents(), st.data())
def test_an_entry_is_removed(drawn: tuple[str, Any], data: st.DataObject) -> None:
    text, tree = drawn
    document, path, mapping = drawn_mapping(data, text)
    if not mapping.mapping:
        return
    key = data.draw(st.sampled_from(list(mapping.mapping)))
    expected = changed(tree, path, lambda it: {k: v for k, v in it.items() if k != key})
    checked(document, remove_entry(document, mapping, key), expected)


@settings(max_examples=100, deadline=None)
@given(documents(), STRINGS, VALUES, st.data())
def test_an_entry_is_inserted(drawn: tuple[str, Any], new: str, value: Any, data: st.DataObject) -> None:
    text, tree = drawn
    document, path, mapping = drawn_mapping(data, text)
    if new in mapping.mapping:
        return
    after = data.draw(st.sampled_from([None, *mapping.mapping]))

    def inserted(it: dict[str, Any]) -> dict[str, Any]:
        entries = list(it.items())
        where = 0 if after is None else list(it).index(after) + 1
        return dict([*entries[:where], (new, value), *entries[where:]])

    if not mapping.mapping and mapping.span.end - (mapping.bracket or 0) != 2:
        return
    checked(document, insert_entry(document, mapping, new, written(value), after), changed(tree, path, inserted))


TEXT = """\
# head
version: 1  # the only one
reuse:
  # how far
  threshold: 0.1  # far
  signal: {tap: probe, stride: 2}
stacks:
  - a: 1
    b: 2

tail: 3
"""


def edited(text: str, change: Any, *path: str | int) -> str:
    document = parse(text)
    assert document.root is not None
    return apply_edits(text, change(document, at(document.root, path)))


@pytest.mark.parametrize(
    ("old", "new", "path", "change"),
    [
        ("version: 1  # the only one\n", "", (), lambda d, m: remove_entry(d, m, "version")),
        ("  threshold: 0.1  # far\n", "", ("reuse",), lambda d, m: remove_entry(d, m, "threshold")),
        ("{tap: probe, stride: 2}", "{stride: 2}", ("reuse", "signal"), lambda d, m: remove_entry(d, m, "tap")),
        ("{tap: probe, stride: 2}", "{tap: probe}", ("reuse", "signal"), lambda d, m: remove_entry(d, m, "stride")),
        ("- a: 1\n    b: 2", "- b: 2", ("stacks", 0), lambda d, m: remove_entry(d, m, "a")),
        ("stacks:\n  - a: 1\n    b: 2\n", "stacks: 5\n", ("stacks",), lambda d, m: replace_value(d, m, "5")),
        ("- a: 1\n", "- c: 3\n    a: 1\n", ("stacks", 0), lambda d, m: insert_entry(d, m, "c", "3")),
        ("0.1  # far\n", "0.1  # far\n  x: y\n", ("reuse",), lambda d, m: insert_entry(d, m, "x", "y", "threshold")),
        ("{tap: probe,", "{tap: probe, x: [1],", ("reuse", "signal"), lambda d, m: insert_entry(d, m, "x", "[1]", "tap")),
        ("tail:", "'1':".replace("'", '"'), (), lambda d, m: rename_key(d, m, "tail", "1")),
    ],
)  # fmt: skip
def test_edits_of_a_policy(old: str, new: str, path: tuple[str | int, ...], change: Any) -> None:
    assert edited(TEXT, change, *path) == TEXT.replace(old, new, 1)


JSON = '{\n  "a": 1,\n  "b": {"c":2},\n  "d": 3\n}\n'


def test_json_stays_json() -> None:
    assert edited(JSON, lambda d, m: remove_entry(d, m, "a")) == JSON.replace('  "a": 1,\n', "")
    assert edited(JSON, lambda d, m: remove_entry(d, m, "d")) == JSON.replace(',\n  "d": 3', "")
    assert edited(JSON, lambda d, m: rename_key(d, m, "c", "e"), "b") == JSON.replace("c", "e")
    assert edited(JSON, lambda d, m: insert_entry(d, m, "x", "1"), "b") == JSON.replace('"c"', '"x": 1, "c"')


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("a: &x 1\nb: *x", lambda d, m: remove_entry(d, m, "a")),
        ("a: &x 1\nb: *x", lambda d, m: replace_value(d, m.mapping["a"], "2")),
        ("a: &x {c: 1}\nb: *x", lambda d, m: remove_entry(d, m.mapping["b"], "c")),
        ("? a\n: 1\nb: 2", lambda d, m: remove_entry(d, m, "a")),
        ("? a\n: 1\nb: 2", lambda d, m: insert_entry(d, m, "c", "1")),
        ("a: 1", lambda d, m: insert_entry(d, m, "a", "2")),
        ("a: 1", lambda d, m: insert_entry(d, m, "b", "2\n3")),
        ("a: 1", lambda d, m: insert_entry(d, m, "b" * 1001, "2")),
        ("a: 1", lambda d, m: insert_entry(d, m, "b", "2", "c")),
        ("a: 1\nb: 2", lambda d, m: rename_key(d, m, "a", "b")),
        ("a: {b}", lambda d, m: replace_value(d, m.mapping["a"].mapping["b"], "1")),
    ],
)
def test_what_no_edit_can_do(text: str, change: Any) -> None:
    with pytest.raises(CannotEdit):
        edited(text, change)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["", "x", "yz"])), max_size=4),
    st.randoms(),
)
def test_edits_do_what_they_say_in_any_order(raw: list[tuple[int, int, str]], dice: Any) -> None:
    text = "abcde"
    edits = [Edit(min(a, b), max(a, b), new) for a, b, new in raw]
    unique = list(dict.fromkeys(edits))
    clash = any(
        (one.start, one.end) == (two.start, two.end) or (one.start < two.end and two.start < one.end)
        for i, one in enumerate(unique)
        for two in unique[:i]
    )
    shuffled = dice.sample(edits, len(edits))
    if clash:
        with pytest.raises(ValueError, match=r"the edit of .* and the edit of .* overlap"):
            apply_edits(text, shuffled)
        return
    expected = text
    for edit in sorted(unique, key=lambda edit: (edit.start, edit.end), reverse=True):
        expected = expected[: edit.start] + edit.text + expected[edit.end :]
    assert apply_edits(text, shuffled) == apply_edits(text, edits) == expected


def test_an_edit_beyond_the_text() -> None:
    with pytest.raises(ValueError, match="reaches beyond"):
        apply_edits("ab", [Edit(1, 3, "")])


RULE = Rule("rule", "meaning", "a rule")


def fixed(start: int, *edits: Edit, safe: bool = True) -> Finding:
    return RULE.finding("m", Span("f", 1, start + 1, start=start), fix=Fix("t", edits, safe))


def test_fixes_are_made_in_file_order_and_none_over_another() -> None:
    first = fixed(0, Edit(0, 1, "A"), Edit(4, 5, "E"))
    second = fixed(2, Edit(2, 3, "C"), Edit(4, 5, "Z"))
    same = fixed(3, Edit(4, 5, "E"), Edit(3, 4, "D"))
    unsafe = fixed(1, Edit(1, 2, "B"), safe=False)
    plain = RULE.finding("m", Span("f"))
    everything = [plain, same, second, first, unsafe]
    assert apply_fixes("abcde", everything) == ("AbcDE", (first, same))
    assert apply_fixes("abcde", everything, unsafe=True) == ("ABcDE", (first, unsafe, same))


def test_the_fixes_of_the_text_itself() -> None:
    text = "3: 4\nx: 1\n"
    mended, applied = apply_fixes(text, parse(text).findings)
    assert mended == '"3": 4\nx: 1\n'
    assert len(applied) == 1
    text = "a:\n\tb: 1\n\tc:\n\t\td: 2\n"
    assert apply_fixes(text, parse(text).findings)[0] == text
    assert apply_fixes(text, parse(text).findings, unsafe=True)[0] == text.replace("\t", "  ")
