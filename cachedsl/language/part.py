"""How a part of a policy is declared: a frozen class of keys, with a shorthand where it has one.

```python
@frozen
class Warmup:
    PART = Part("a whole number of at least 0, or a mapping with steps and interval", "Steps at the head ...", ...)
    steps: int = key(8, Whole(), "How many steps.")
```

The declaration is all there is: strict reading and writing, JSON Schema, the key tables of docs/language.md, completion
and the strategies of the property tests are made from it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from attrs import NOTHING, field, frozen
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from cachedsl.language.kinds import Key, Kind, Misfit, Misfits, Path, Schema, Text, spelt
from cachedsl.plan.frozen import Frozen, thaw
from cachedsl.text.finding import CachedslError, Finding, Fix, PolicyError, Rule, Span
from cachedsl.text.scalars import printable

Expand = Callable[[Any], Mapping[str, Any]]


@frozen
class Short:
    """A shorthand: one value that stands for a whole part.

    Attributes:
        kind: what it may be.
        expand: returns the keys that it sets; all others get their defaults.
        collapse: returns the shorthand of a long form that has one, else None.
    """

    kind: Kind
    expand: Expand
    collapse: Callable[[Mapping[str, Any]], Any] = lambda tree: None


def sets(name: str, kind: Kind) -> Short:
    """Return the shorthand that is the value of key `name`."""

    def collapse(tree: Mapping[str, Any]) -> Any:
        return tree.get(name) if all(value is None for key, value in tree.items() if key != name) else None

    return Short(kind, lambda value: {name: value}, collapse)


@frozen
class Part:
    """What is said of a part as a whole.

    Attributes:
        key: where it stands in a policy, dotted.
        title: what is expected there, in words.
        words: what it means, one sentence.
        short: its shorthands, the first that reads a value holds.
        whole: whether a child's replaces a parent's whole, instead of key by key.
        error: makes the error of values that were given in Python.
    """

    key: str
    title: str | Callable[[], str]
    words: str
    short: tuple[Short, ...] = ()
    whole: bool = False
    error: Callable[[Sequence[Finding]], CachedslError] = PolicyError

    @property
    def expected(self) -> str:
        """The title, made when it is asked for where it lists what other packages add to."""
        return self.title() if callable(self.title) else self.title


BAD_VALUE = Rule(
    "bad-value",
    "shape",
    "a value is not what its key may hold",
    why="A value of another type, or out of its bounds, would be guessed at; nothing is converted in silence.",
    bad="warmup: {interval: 0}",
    good="warmup: {interval: 1}",
)
NOT_FINITE = Rule(
    "not-finite",
    "shape",
    "a number is not finite",
    why="No comparison with `.nan` or `.inf` means anything.",
    bad="reuse: {threshold: .nan}",
    good="reuse: {threshold: 0.08}",
)
UNKNOWN_KEY = Rule(
    "unknown-key",
    "shape",
    "a key that the language does not have",
    why="A misspelt key would have no effect, and nobody would notice.",
    bad="warmpu: 4",
    good="warmup: 4",
)
MISSING_KEY = Rule(
    "missing-key",
    "shape",
    "a key that must be there is not",
    why="Without it the rest has no meaning: `version` says by which language the file is read.",
    bad="compute: F8B0",
    good="version: 1\ncompute: F8B0",
)
MASK_FORM = Rule(
    "mask-form",
    "shape",
    "a step mask with no form, or with several",
    why="Two forms would contradict each other.",
    bad="steps: {at: [0], every: 4}",
    good="steps: {every: 4}",
)
MASK_RUNS = Rule(
    "mask-runs",
    "shape",
    "runs of computed and reused steps that cannot take turns",
    why="Runs begin with a computed one, so there are as many reused ones, or one less.",
    bad="steps: {compute: [4], cache: [1, 2]}",
    good="steps: {compute: [4, 1], cache: [1, 2]}",
)
OF_VALUES = {rule.code: rule for rule in (BAD_VALUE, NOT_FINITE, UNKNOWN_KEY, MISSING_KEY, MASK_FORM, MASK_RUNS)}
"""The rules that a value breaks by itself, wherever it comes from."""


def key(
    default: Any,
    kind: Kind,
    words: str,
    *,
    shown: str | None = None,
    examples: tuple[Any, ...] = (),
    required: bool = False,
) -> Any:
    """Declare a key of a part; `default` NOTHING is a required one. Values are read by `kind`, in Python too.

    A `required` key with a default has it in Python alone; a mapping in a file must say it.
    """
    required = required or default is NOTHING
    made = default.factory if isinstance(default, attrs.Factory) else None  # type: ignore[arg-type]
    of_tap = made is not None and default.takes_self
    declared = Key(kind, words, None if required or of_tap else made() if made else default, shown, examples, required)
    converter = attrs.Converter(_reader(kind, default), takes_self=True, takes_field=True)
    return field(default=default, metadata={"key": declared}, converter=converter)


def _reader(kind: Kind, default: Any) -> Callable[[Any, Any, Any], Any]:
    def read(value: Any, instance: Any, attribute: Any) -> Any:
        if value is None and default is not NOTHING:  # as in a file, it is the default
            return default.factory(instance) if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
        try:
            return kind.read(value)
        except (Misfit, Misfits) as error:
            if isinstance(error, Misfit) and error.beyond_use:
                return type(error.value)(error.value)  # a program may have its reasons for such a number
            part: Part = type(instance).PART
            place = f"{part.key}.{spelt(attribute.name)}"
            raise refused(type(instance).__name__, place, error, part.error) from None

    return read


def unknown(key: str, allowed: tuple[str, ...]) -> Misfit:
    """Say that a mapping has a key that it must not have."""
    return Misfit(", ".join(allowed), None, code="unknown-key", key=key)


def missing(key: str, declared: Key) -> Misfit:
    """Say that a mapping lacks a key."""
    title = getattr(declared.kind, "expected", declared.kind.title)
    return Misfit(title, None, code="missing-key", key=key)


def refused(
    label: str,
    place: str,
    error: Misfit | Misfits,
    made: Callable[[Sequence[Finding]], CachedslError] = PolicyError,
) -> CachedslError:
    """Return the error of a value that was given in Python: the rules and words are those of a file's."""
    found = error.found if isinstance(error, Misfits) else [error]
    prefix = tuple(step for step in place.split(".") if step)
    return made([finding_of(one.under(*prefix), Span(f"<{label}>"), describe(one.value)) for one in found])


def finding_of(misfit: Misfit, span: Span, value: str, fix: Fix | None = None) -> Finding:
    """Say what does not fit at `span`; `value` is what stands there, in words."""
    rule, where, hint = misfit.rule or OF_VALUES[misfit.code], dotted(misfit.path), misfit.hint
    inside = f" in `{where}`" if where else ""
    if misfit.code == "unknown-key":
        near = nearest(misfit.key or "", misfit.expected.split(", "))
        hint = f"{f'did you mean `{near}`? ' if near else ''}allowed: {misfit.expected}"
        return rule.finding(f"unknown key `{printable(misfit.key or '')}`{inside}", span, hint, fix=fix)
    if misfit.code == "missing-key":
        return rule.finding(f"key `{misfit.key}` is missing{inside}", span, f"expected {misfit.expected}", fix=fix)
    message = (misfit.message or f"expected {misfit.expected}, got {{value}}").replace("{value}", value)
    return rule.finding(f"{where}: {message}" if where else message, span, hint, fix=fix)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that looks most like `name`, if any does."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5) if len(name) <= 100 else []
    return found[0] if found else None


def dotted(path: Path) -> str:
    """Write a key path as messages do."""
    return printable(".".join(str(step) for step in path))


def describe(value: Any, text: str | None = None) -> str:
    """Say what a value is, short enough for one line; `text` is how it was written, where it was."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing"
    written = str(value) if text is None else text
    return f"`{printable(written if len(written) <= 40 else f'{written[:37]}...')}`"


def misfits(error: BaseException) -> Iterator[Misfit]:
    """Yield every misfit in what a cattrs converter raised, its path from the root; anything else is raised on."""
    if isinstance(error, Misfit):
        yield error
    elif isinstance(error, Misfits):
        yield from error.found
    elif isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            step = next((found for note in getattr(inner, "__notes__", ()) if (found := _step(note)) is not None), None)
            if isinstance(inner, KeyError) and isinstance(step, str):
                yield missing(step, keys_of(_class_of(error))[step].metadata["key"])
                continue
            for misfit in misfits(inner):
                yield misfit if step is None else misfit.under(step)
    elif isinstance(error.__cause__, Misfit):  # what a part says of its keys together
        yield error.__cause__
    else:
        raise error


def _class_of(error: BaseValidationError) -> type:
    return error.cl


def _step(note: object) -> str | int | None:
    """Return the attribute or index that a note of cattrs names."""
    if isinstance(note, AttributeValidationNote):
        return spelt(note.name)
    index: str | int | None = note.index if isinstance(note, IterableValidationNote) else None
    return index


def keys_of(cls: type) -> dict[str, Any]:
    """Return the fields of a part that are keys of the language, by their spelling."""
    return {spelt(one.name): one for one in attrs.fields(cls) if "key" in one.metadata}


def declared_keys(cls: type) -> dict[str, Key]:
    """Return every key that a part may have, those that other packages bring among them."""
    brought: Callable[[], Mapping[str, Key]] = getattr(cls, "brought", dict)
    found = {name: one.metadata["key"] for name, one in keys_of(cls).items()} | dict(brought())
    first = [name for name in getattr(cls, "FIRST", ()) if name in found]
    return {name: found[name] for name in (*first, *(name for name in found if name not in first))}


CONVERTER = Converter(detailed_validation=True)
"""Makes parts of trees; every value is read by its key's kind, so nothing is converted in silence."""


@CONVERTER.register_structure_hook_factory(lambda cls: hasattr(cls, "PART"))
def _structure(cls: Any) -> Callable[[Any, Any], Any]:
    """Return what makes one part of its long or short form; null is the default of a key that has one."""
    own = keys_of(cls)
    overrides = {one.name: _override(name, one) for name, one in own.items()}
    overrides |= {one.name: override(omit=True) for one in attrs.fields(cls) if one.name not in overrides}
    made = make_dict_structure_fn(cls, CONVERTER, **overrides)
    brings = hasattr(cls, "brought")

    def structure(tree: Any, _: Any) -> Any:
        if isinstance(tree, cls):
            return tree
        tree = tree if isinstance(tree, Mapping) else expanded(cls, tree)
        keys = declared_keys(cls) if brings else {}
        allowed: tuple[str, ...] = ()
        given, brought, found = {}, {}, []
        for name, value in tree.items():
            if name not in own and name not in keys:
                allowed = allowed or tuple(declared_keys(cls))
                found.append(unknown(name, allowed))
            elif name not in own:
                try:
                    brought[name] = None if value is None else keys[name].kind.read(value)
                except Misfit as misfit:
                    found.append(misfit.under(name))
            elif value is not None or own[name].metadata["key"].required:
                given[name] = value
        for name, one in own.items():
            if one.metadata["key"].required and name not in given and one.default is not NOTHING:
                found.append(missing(name, one.metadata["key"]))
        try:
            part = made(given, cls)
        except BaseValidationError as error:
            raise Misfits([*found, *misfits(error)]) from None
        if found:
            raise Misfits(found)
        kept = {name: value for name, value in brought.items() if value is not None}
        return attrs.evolve(part, own=Frozen(kept)) if kept and hasattr(part, "own") else part

    return structure


def _override(name: str, one: Any) -> Any:
    kind = one.metadata["key"].kind
    return override(rename=name, struct_hook=lambda value, _: kind.read(value))


def expanded(cls: Any, value: Any) -> Mapping[str, Any]:
    """Return the keys that a shorthand of a part sets. Raises `Misfit` where it is none."""
    part: Part = cls.PART
    for short in part.short:
        try:
            return short.expand(short.kind.read(value))
        except Misfit as misfit:
            if misfit.code != "bad-value" or misfit.beyond_use:
                raise
    hints = [short.kind.hint(value) for short in part.short if isinstance(short.kind, Text) and short.kind.hint]
    raise Misfit(part.expected, value, hint=next((hint for hint in hints if hint), None))


@frozen
class PartOf(Kind):
    """A part: its class says what it may hold."""

    title: str = ""
    cls: Any = None

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        part: Part = self.cls.PART
        return part.expected

    def read(self, value: Any) -> Any:
        if isinstance(value, self.cls):
            return value
        try:
            return CONVERTER.structure(value, self.cls)
        except BaseValidationError as error:
            raise Misfits(list(misfits(error))) from None

    def write(self, value: Any) -> Any:
        return tree_of(value)

    def parts(self) -> tuple[Any, ...]:
        return (self.cls,)

    def longhand(self, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, Mapping):
            return long_form(self.cls, value)
        return {**dict.fromkeys(declared_keys(self.cls)), **expanded(self.cls, value)}

    def shorthand(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if set(value) == set(declared_keys(self.cls)):
            for short in self.cls.PART.short:
                found = short.collapse(value)
                if found is not None:
                    return found
        return short_form(self.cls, value)

    def schema(self) -> Schema:
        return {"$ref": f"#/$defs/{self.cls.__name__.lower()}"}


def long_form(cls: Any, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part's `tree` with every shorthand in its long form.

    A shorthand is a whole value: `warmup: 4` also says `interval: null`, so that nothing of a parent's long form is
    left beside it.
    """
    keys = declared_keys(cls)
    return {name: keys[name].kind.longhand(value) if name in keys else value for name, value in tree.items()}


def short_form(cls: Any, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part's long form with a shorthand wherever one says the same."""
    keys = declared_keys(cls)
    return {name: keys[name].kind.shorthand(value) for name, value in tree.items()}


def part_of(cls: Any) -> PartOf:
    """Return the kind that is a part."""
    return PartOf("", cls)


def tree_of(part: Any) -> dict[str, Any]:
    """Return the long form of a part as YAML and JSON have it, every key written out."""
    tree = {}
    for name, one in keys_of(type(part)).items():
        value, kind = getattr(part, one.name), one.metadata["key"].kind
        tree[name] = None if value is None else kind.write(value)
    return tree | (thaw(part.own) if hasattr(part, "own") else {})


def differing(tree: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of `tree` that are not those of `default`."""
    return {name: value for name, value in tree.items() if name not in default or value != default[name]}


def said(part: Any, default: Any) -> dict[str, Any]:
    """Return what of a part differs from the default, as it would be written in long form."""
    if part.__class__ is not default.__class__:
        return tree_of(part)
    tree = {}
    for name, one in keys_of(type(part)).items():
        value, below = getattr(part, one.name), getattr(default, one.name)
        if value == below:
            continue
        if hasattr(value, "said"):
            tree[name] = value.said()
        elif hasattr(type(value), "PART") and below is not None and isinstance(one.metadata["key"].kind, PartOf):
            tree[name] = said(value, below)
        else:
            tree[name] = None if value is None else one.metadata["key"].kind.write(value)
    return tree
