"""Know which models there are: adapters, read from `adapters/*.yaml` and matched by transformer class name."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from cachedsl.matching.adapter import (
    Adapter,
    AdapterError,
    InputAdapter,
    ModulatedInput,
    StackAdapter,
    TransformerAdapter,
    UnsupportedModel,
    guess,
)
from cachedsl.plan.model_shape import ModelShape
from cachedsl.text.document import Document, Node, parse_document, printable, read_document
from cachedsl.text.finding import Finding, Span

ENTRY_POINTS = "cachedsl.adapters"
VERIFIED = "0.42.1"
"""The version of diffusers on which the tests run every class of the bundled adapters."""


@lru_cache(maxsize=1)
def load_adapters() -> tuple[Adapter, ...]:
    """Read the bundled adapters, in the order of their file names, and those that other packages offer.

    Another package offers an `Adapter`, or the path of its YAML, under the entry point group `cachedsl.adapters`; of
    two that name one class, the later holds.

    Raises:
        AdapterError: a file does not hold.
    """
    folder = files("cachedsl.adapters")
    paths = sorted((p for p in folder.iterdir() if p.name.endswith(".yaml")), key=lambda p: p.name)
    bundled = [read_adapter(path.read_text(encoding="utf-8"), path.name) for path in paths]
    bundled = [attrs.evolve(adapter, verified=VERIFIED) for adapter in bundled]
    return (*bundled, *(_load_entry(point) for point in entry_points(group=ENTRY_POINTS)))


def _load_entry(point: EntryPoint) -> Adapter:
    found = point.load()
    if isinstance(found, Adapter):
        return found
    if not isinstance(found, str | Path):
        raise AdapterError(
            f"entry point {point.name!r} of {ENTRY_POINTS}: expected an Adapter or the path of its YAML, got "
            f"{type(found).__name__}"
        )
    return load_adapter(found)


def load_adapter(path: str | Path) -> Adapter:
    """Read an adapter of your own from a YAML file, for `policy.apply(target, adapter=...)`.

    Raises:
        AdapterError: the file cannot be read, or does not hold.
    """
    return _adapter(read_document(Path(path), str(path)))


def read_adapter(text: str, name: str) -> Adapter:
    """Read one adapter from YAML; `name` stands in messages. Raises `AdapterError`."""
    return _adapter(parse_document(text, name))


def _adapter(source: Document) -> Adapter:
    for finding in source.findings:
        raise AdapterError(_in_words(finding))
    assert source.root is not None, "no root without a finding"
    adapter: Adapter = _build(Adapter, source.root, ())
    return adapter


def _in_words(finding: Finding) -> str:
    """Say what the reader found; about the file as a whole without a line, and without hints meant for policies."""
    if finding.code in ("cannot-read", "too-large"):
        return f"{finding.span.file}: {finding.message}"
    if finding.code == "empty":
        return f"{finding.span.file}: {finding.message}; `cachedsl adapters probe` writes an adapter"
    hint = f"; {finding.hint}" if finding.hint and finding.code != "alias-budget" else ""
    return f"{finding.span}: {finding.message}{hint}"


_PARTS: dict[tuple[type, str], type] = {
    (StackAdapter, "modulated_input"): ModulatedInput,
    (TransformerAdapter, "input"): InputAdapter,
}
_MAPPINGS: dict[tuple[type, str], type] = {
    (TransformerAdapter, "stacks"): StackAdapter,
    (Adapter, "transformers"): TransformerAdapter,
}
"""Which keys hold a part of an adapter, and which a mapping of names to such parts."""


def _build(cls: type, node: Node, path: tuple[str, ...]) -> Any:
    """Build a part of an adapter from what stands at `path`; values are taken as they are, and the class checks them.

    Raises:
        AdapterError: it does not hold; the message says where in the file.
    """
    fields = attrs.fields_dict(cls)
    if not isinstance(node.value, dict):
        what = f": expected a mapping of {', '.join(fields)}, got {reprlib.repr(node.plain())}"
        raise _misplaced(node.span, path, what)
    for key, span in node.keys.items():
        if key not in fields:
            near = guess(key, fields)
            raise _misplaced(span, path, f": unknown key {printable(key)!r}{near or ';'} there are {', '.join(fields)}")
    for key, one in fields.items():
        if one.default is attrs.NOTHING and key not in node.value:
            raise _misplaced(node.span, path, f": key {key!r} is missing")
    values = {key: _value(cls, key, inner, (*path, key)) for key, inner in node.value.items()}
    try:
        return cls(**values)
    except AdapterError as error:
        what = str(error).removeprefix(cls.__name__)
        key_of = re.match(r"\.(\w+)", what)
        at = node.value[key_of[1]].span if key_of and key_of[1] in node.value else node.span
        raise _misplaced(at, path, what) from None  # it says all that the error did


def _value(cls: type, key: str, node: Node, path: tuple[str, ...]) -> Any:
    part = _PARTS.get((cls, key))
    if part is not None and node.value is not None:
        return _build(part, node, path)
    items = _MAPPINGS.get((cls, key))
    if items is not None and isinstance(node.value, dict):
        return {name: _build(items, inner, (*path, name)) for name, inner in node.value.items()}
    return node.plain()


def _misplaced(span: Span, path: tuple[str, ...], what: str) -> AdapterError:
    place = printable(".".join(path))
    return AdapterError(f"{span}: {place}{what}" if place else f"{span}: {what.lstrip('.: ')}")


def match_transformer(class_names: Sequence[str], own: Adapter | None = None) -> TransformerAdapter | None:
    """Return the adapter of the first class in `class_names` (a class and its bases, nearest first) that has one.

    `own` is asked before all others.

    Raises:
        TypeError: `own` is no adapter.
    """
    if own is not None:
        require_adapter(own)
    families = load_adapters() if own is None else (*load_adapters(), own)
    known = {name: adapter for family in families for name, adapter in family.transformers.items()}
    return next((known[name] for name in class_names if name in known), None)


def require_adapter(given: object) -> None:
    """Refuse what is given for an adapter and is none, such as the path of its file, and say how to have one.

    Raises:
        TypeError: it is no adapter.
    """
    if isinstance(given, Adapter):
        return
    way_out = ""
    if isinstance(given, str | PathLike):
        way_out = f"; read it from its file, with adapter=cachedsl.load_adapter({str(given)!r})"
    elif isinstance(given, TransformerAdapter):
        way_out = "; say which class it is for, as in Adapter('mine', {'MyModel': TransformerAdapter(...)})"
    raise TypeError(f"adapter: expected an Adapter, got {reprlib.repr(given)}{way_out}; nothing was changed")


def supported_families() -> tuple[str, ...]:
    return tuple(adapter.family for adapter in load_adapters())


@frozen
class NamedModel:
    """A published model, or a transformer class with its default configuration, as named on the command line."""

    adapter: Adapter
    name: str

    def shape(self) -> ModelShape:
        return self.adapter.shape(self.name)


def find_adapter(name: str) -> NamedModel:
    """Find a model by family, by published model, or by transformer class.

    Raises:
        UnsupportedModel: nothing has that name; the message lists what there is.
    """
    names: dict[str, NamedModel] = {}
    for adapter in load_adapters():
        own = (*adapter.models, *adapter.transformers)
        names[adapter.family.lower()] = NamedModel(adapter, own[0])
        names.update({name.lower(): NamedModel(adapter, name) for name in own})
    if name.lower() in names:
        return names[name.lower()]
    near = difflib.get_close_matches(name.lower(), names, n=1)
    guess = f", did you mean {near[0]!r}?" if near else ";"
    listed = ", ".join(a.family + (f" ({', '.join(a.models)})" if a.models else "") for a in load_adapters())
    raise UnsupportedModel(f"no adapter is called {name!r}{guess} there are: {listed}")
