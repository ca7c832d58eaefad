"""What may be written at a place: keys, values, bundled policies, files beside, and stacks of the model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from cachedsl.checking.sources import YAML
from cachedsl.language.kinds import Key
from cachedsl.language.part import PartOf
from cachedsl.loading import bundled_policies, load_policy
from cachedsl.lsp.cursor import Cursor
from cachedsl.lsp.desk import Looked
from cachedsl.lsp.keys import below, key_at, words_of
from cachedsl.matching.reading import load_adapters
from cachedsl.text.scalars import written
from cachedsl.text.tree import Node


@frozen
class Offer:
    """One thing that may be written.

    Attributes:
        label: what it is called.
        text: what is written in place of the word at the cursor.
        words: what it means.
        is_key: whether it is a key.
    """

    label: str
    text: str
    words: str
    is_key: bool = False


def offers(cursor: Cursor, looked: Looked, path: Path | None) -> Iterator[Offer]:
    """Yield what may be written at the place, keys that are there already left out."""
    if cursor.value:
        yield from _values(cursor, looked, path)
        return
    inside = below(looked.declared, cursor.path)
    there = set(_there(looked.document.root, cursor.path)) - {cursor.word}
    if inside is None:
        return
    if inside.keys is None:
        if cursor.path == ("stacks",):
            yield from (one for one in _stacks(looked) if one.label not in there)
        return
    for name, declared in inside.keys.items():
        if name not in there:
            yield Offer(name, f"{name}: ", declared.words, is_key=True)


def _values(cursor: Cursor, looked: Looked, path: Path | None) -> Iterator[Offer]:
    if cursor.path == ("extends",) and looked.kind == "policy":
        yield from _parents(path)
        return
    declared = key_at(looked.declared, cursor.path)
    if declared is None:
        return
    for word in words_of(declared.kind):
        number = word in ("true", "false") or word.isdigit()
        yield Offer(word, word if number else written(word), _expected(declared))


def _expected(declared: Key) -> str:
    return declared.kind.expected if isinstance(declared.kind, PartOf) else declared.words


def _there(root: Node | None, path: tuple[str, ...]) -> Mapping[str, Node]:
    node = root
    for name in path:
        node = None if node is None else node.mapping.get(name)
    return {} if node is None else node.mapping


def _parents(path: Path | None) -> Iterator[Offer]:
    for name in bundled_policies():
        yield Offer(name, name, load_policy(name).description)
    if path is None or not path.parent.is_dir():
        return
    for name in sorted(os.listdir(path.parent)):
        if name.endswith(YAML) and name != path.name:
            yield Offer(name, written(name), "a file beside this one")


def _stacks(looked: Looked) -> Iterator[Offer]:
    """Yield the block lists of the models that the policy is held on; of every known model where there is none."""
    held = {one.shape.label: one.shape for one in looked.held if one.shape is not None}
    if held:
        names = {stack.name: f"a block list of {label}" for label, shape in held.items() for stack in shape.stacks}
    else:
        names = {
            stack: f"a block list of {adapter.family}"
            for adapter in load_adapters()
            for transformer in adapter.transformers.values()
            for stack in transformer.stacks
        }
    for name, words in names.items():
        yield Offer(name, f"{written(name)}: ", words, is_key=True)
