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

from collections.abc import Callable, Iterator, Mapping, Sequence
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

from cachedsl.language.kinds import Key, Kind, Schema, Text, read_value, spelt
from cachedsl.language.misfit import Misfit, Misfits, collected
from cachedsl.language.refusals import missing, refused, unknown
from cachedsl.plan.frozen import Frozen, thaw
from cachedsl.text.finding import CachedslError, Finding, PolicyError

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
            return read_value(kind, value)
        except (Misfit, Misfits) as error:
            if isinstance(error, Misfit) and error.beyond_use:
                return type(error.value)(error.value)  # a program may have its reasons for such a number or name
            part: Part = type(instance).PART
            place = f"{part.key}.{spelt(attribute.name)}"
            raise refused(type(instance).__name__, place, error, part.error) from None

    return read


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
        given, brought = {}, {}
        found: list[Misfit] = []
        for name, value in tree.items():
            if name not in own and name not in keys:
                allowed = allowed or tuple(declared_keys(cls))
                found.append(unknown(name, allowed))
            elif name not in own:
                with collected(found, name):
                    brought[name] = None if value is None else read_value(keys[name].kind, value)
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
    return override(rename=name, struct_hook=lambda value, _: read_value(kind, value))


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
