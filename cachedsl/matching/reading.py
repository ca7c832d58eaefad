"""Know which models there are: adapters, read from `adapters/*.yaml` and matched by transformer class name."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from os import PathLike
from pathlib import Path

import attrs
from attrs import field, frozen

from cachedsl.language.refusals import BAD_VALUE
from cachedsl.matching.adapter import Adapter, AdapterError, TransformerAdapter, UnsupportedModel
from cachedsl.matching.errors import without_place
from cachedsl.plan.model_shape import ModelShape
from cachedsl.rules.shape.reading import read_part
from cachedsl.text.document import parse_document, read_document
from cachedsl.text.finding import Finding, Span, in_file_order
from cachedsl.text.scalars import printable, shortened
from cachedsl.text.tree import Document

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
        said = f"entry point {point.name!r} of {ENTRY_POINTS}: expected an Adapter or the path of its YAML"
        raise without_place([BAD_VALUE.finding(f"{said}, got {type(found).__name__}", Span(""))])
    return load_adapter(found)


def load_adapter(path: str | Path) -> Adapter:
    """Read an adapter of your own from a YAML file, for `policy.apply(target, adapter=...)`.

    Args:
        path: the file; docs/models.md has its keys.

    Raises:
        AdapterError: the file cannot be read, or has errors. `findings` are all of them.
    """
    return _adapter(read_document(Path(path), printable(str(Path(path)))))


def read_adapter(text: str, name: str) -> Adapter:
    """Read one adapter from YAML; `name` stands in messages. Raises `AdapterError`."""
    return _adapter(parse_document(text, name))


def _adapter(document: Document) -> Adapter:
    adapter, findings = _read(document)
    if adapter is None or findings:
        raise AdapterError(findings)
    return adapter


def adapter_findings(document: Document) -> tuple[Finding, ...]:
    """Return every finding of an adapter that has been read, in the order of the file; nothing where it holds."""
    return _read(document)[1]


HINTS = {"empty": "`cachedsl adapters probe` writes an adapter", "alias-budget": None, "too-large": None}
"""What to do about a text, where it is another thing for adapters than for policies."""


def _read(document: Document) -> tuple[Adapter | None, tuple[Finding, ...]]:
    """Return the adapter that a document holds, None where it does not, and every finding."""
    findings = [
        attrs.evolve(found, hint=HINTS[found.code]) if found.code in HINTS else found for found in document.findings
    ]
    adapter: Adapter | None = None
    if document.root is not None:
        adapter, unfit = read_part(document, Adapter, document.root.plain())
        findings += unfit
    return adapter, in_file_order(findings)


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
    """A published model, or a transformer class with its default configuration, as named on the command line.

    `spelling` is that of the name that was found, which may be a family's or a pipeline's.
    """

    adapter: Adapter
    name: str
    spelling: str = field(default="", eq=False)

    def shape(self) -> ModelShape:
        return self.adapter.shape(self.name)


MATCHES, NEAR = 10, 5
"""Names that are listed where a part is one of several names, and where nothing has a name."""


def shape_called(name: str) -> ModelShape:
    """Return the shape of a model: by a name as `find_adapter` takes it, or by the path of an adapter's YAML.

    Raises:
        UnsupportedModel: nothing has that name, or several have.
        PolicyError: the file is no adapter.
    """
    if name.endswith((".yaml", ".yml")) or Path(name).is_file():
        return load_adapter(name).shape()
    return find_adapter(name).shape()


def find_adapter(name: str) -> NamedModel:
    """Find a model by family, published model, transformer class or pipeline class, or by a part of one such name.

    Raises:
        UnsupportedModel: nothing has that name, or several names have that part; the message lists some of them.
    """
    names, wanted = _names(), name.strip().lower()
    if wanted in names:
        return names[wanted]
    shown = f"'{shortened(name, 100)}'"
    found: dict[tuple[str, str], str] = {}
    for lower, model in names.items():
        if wanted and wanted in lower:
            found.setdefault((model.adapter.family, model.name), lower)
    if len(found) == 1:
        return names[next(iter(found.values()))]
    families = {family for family, _ in found}
    if len(families) == 1 and wanted in (family := families.pop().lower()):
        return names[family]  # no other family has that part
    if found:
        listed = sorted(names[lower].spelling for lower in found.values())
        more = f" and {len(found) - MATCHES} more" if len(found) > MATCHES else ""
        raise UnsupportedModel(f"{shown} is a part of several names: {', '.join(listed[:MATCHES])}{more}")
    raise UnsupportedModel(f"no adapter is called {shown}{_near(wanted, names)}; `cachedsl adapters list` lists them")


def _names() -> dict[str, NamedModel]:
    """Return what every name means, by the name in lower case; of two of a kind, the later adapter's holds."""
    names: dict[str, NamedModel] = {}
    families = load_adapters()[::-1]
    meant = [
        *((one, one.family, next(iter((*one.models, *one.transformers)))) for one in families),
        *((one, name, name) for one in families for name in (*one.models, *one.transformers)),
        *(
            (one, pipeline, name)
            for one in families
            for name, transformer in one.transformers.items()
            for pipeline in transformer.pipelines
        ),
    ]
    for adapter, spelling, model in meant:
        names.setdefault(spelling.lower(), NamedModel(adapter, model, spelling))
    return names


def known_names() -> dict[str, str]:
    """Return every name that `find_adapter` takes, as it is spelt, and what it names: a model, a family, a class."""
    named = {}
    for model in _names().values():
        adapter = model.adapter
        kind = "a published model" if model.spelling in adapter.models else f"a class of {adapter.family}"
        named[model.spelling] = "a family" if model.spelling == adapter.family else kind
    return dict(sorted(named.items()))


def _near(wanted: str, names: Mapping[str, NamedModel]) -> str:
    """Say which names look like `wanted`; nothing where none does."""
    near = difflib.get_close_matches(wanted, names, n=NEAR) if len(wanted) <= 100 else []
    if not near:
        return ""
    likeness = [difflib.SequenceMatcher(None, lower, wanted).ratio() for lower in near]
    spelt = [names[lower].spelling for lower in near]
    if likeness.count(max(likeness)) > 1:
        return f", near are {', '.join(spelt)}"
    return f", did you mean {spelt[0]!r}?" + (f" (also near: {', '.join(spelt[1:])})" if spelt[1:] else "")
