"""What the language server makes of texts, without a client: half a policy, every key of a whole one, other line ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import Position, Range

from cachedsl.language.policy import Policy
from cachedsl.loading import bundled_path, bundled_policies
from cachedsl.lsp.completion import offers
from cachedsl.lsp.cursor import cursor_at
from cachedsl.lsp.desk import Desk, Setting
from cachedsl.lsp.diagnostics import actions, diagnostic
from cachedsl.lsp.hover import hover
from cachedsl.lsp.keys import key_at, words_of
from cachedsl.lsp.positions import Positions
from cachedsl.text.document import parse_document
from cachedsl.text.finding import Span
from cachedsl.text.tree import Node

FLOW = """{version: 1, name: flow, reuse: {threshold: 0.1, signal: {tap: residual, stride: 2}},
 stacks: {single_transformer_blocks: {reuse: {threshold: 0.3}, predict: {method: taylor, order: 2}}}}
"""
BLOCK = """version: 1
name: block
warmup:
  steps: 4
  interval: 2
reuse: {threshold: 0.1, max_accumulated: {limit: 3, reset: never}}
cfg: {mode: separate, decision: per_branch}
steps:
  bits: "1111000"
  otherwise: static
stacks:
  single_transformer_blocks:
    predict: {method: copy}
runtime:
  quantize:
    transformer: {kind: int8_dynamic, exclude: ["*proj*"]}
"""
TEXTS = {name: path.read_text() for name in bundled_policies() if (path := bundled_path(name)) is not None}
FILE = Path("/somewhere/p.yaml")


def desk() -> Desk:
    return Desk(setting=Setting("flux", 28))


def exercise(text: str, offset: int) -> None:
    """Ask everything that an editor asks."""
    looked = desk().look(text, FILE)
    positions = Positions(text, "utf-16")
    for one in looked.findings:
        shown = diagnostic(one, "file:///p.yaml", positions)
        assert positions.offset(shown.range.start) <= positions.offset(shown.range.end) <= len(text)
    list(actions(looked.findings, text, "file:///p.yaml", positions, Range(Position(0, 0), Position(9999, 0))))
    cursor = cursor_at(text, offset)
    if cursor is not None:
        assert 0 <= cursor.start <= cursor.end <= len(text)
        list(offers(cursor, looked, None))
        hover(cursor, looked)


@pytest.mark.parametrize("name", ["f8b8-taylor", "magcache-flux", "dbprune-dynamic"])
def test_a_policy_while_it_is_typed(name: str) -> None:
    for end in range(0, len(TEXTS[name]), 7):
        exercise(TEXTS[name][:end], end)


ODD = st.sampled_from(("'", "{", "}", "]", ":", "\n", "\t", "#", "&a ", "*a", "? ", "- ", "|\n", "\r", "\u2028", "😀", "\x00",
                       "<<: *a\n", "!!x ", "---\n", "\ufeff", "stacks:\n  '*':\n    ", "extends: x\n"))  # fmt: skip


@given(
    st.sampled_from([*TEXTS.values(), FLOW, BLOCK]), st.lists(st.tuples(st.floats(0, 1), ODD), max_size=4), st.data()
)
def test_a_policy_that_is_broken_anywhere(text: str, broken: list[tuple[float, str]], data: st.DataObject) -> None:
    for share, odd in broken:
        at = int(share * len(text))
        text = text[:at] + odd + text[at:]
    exercise(text, data.draw(st.integers(0, len(text))))


def keys_of(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Span, Node]]:
    for name, value in node.mapping.items():
        yield (*path, name), node.keys[name], value
        yield from keys_of(value, (*path, name))


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("name", ["f8b8-taylor", "teacache-flux", "flow", "block"])
def test_every_key_and_word_of_a_policy_is_offered_where_it_stands(name: str, end: str) -> None:
    text = {**TEXTS, "flow": FLOW, "block": BLOCK}[name].replace("\n", end)
    whole = desk().look(text, FILE)
    root = parse_document(text, "p.yaml").root
    assert root is not None

    def offered(without: Span) -> list[str]:
        cut = text[: without.start] + text[without.end :]
        cursor = cursor_at(cut, without.start)
        assert cursor is not None
        return [one.label for one in offers(cursor, desk().look(cut, FILE), None)]

    for path, span, value in keys_of(root):
        declared = key_at(Policy, path)
        if declared is None:
            assert path[-1] in offered(span) or path[:-1] != ("stacks",)
            continue
        cursor = cursor_at(text, span.start + 1)
        assert cursor is not None
        assert (hover(cursor, whole) or "").startswith(f"**`{'.'.join(path)}`**")
        assert path[-1] in offered(span)
        if value.value in words_of(declared.kind):
            assert value.value in offered(value.span)


def test_a_policy_that_is_not_saved_yet_is_held_by_the_table(tmp_path: Path) -> None:
    table = '[[tool.cachedsl.plans]]\npolicy = "*.yaml"\nmodel = "flux"\nsteps = [20]\n'
    (tmp_path / "pyproject.toml").write_text(table)
    looked = Desk().look("version: 1\nreuse: {threshold: 0.1}\n", tmp_path / "new.yaml")
    assert [(one.shape.label, one.steps) for one in looked.held if one.shape is not None] == [("flux.1-dev", 20)]
