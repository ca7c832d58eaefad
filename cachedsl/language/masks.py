"""Step masks: six ways to say which steps are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, ClassVar, Literal, get_args

from attrs import NOTHING, frozen

from cachedsl.language.kinds import Kind, ListOf, Number, Schema, Text, Whole, quote_it, read_value, word
from cachedsl.language.misfit import Misfit, Misfits, collected
from cachedsl.language.part import Part, key, keys_of, sets
from cachedsl.language.refusals import refused, unknown

Otherwise = Literal["dynamic", "static"]
PresetName = Literal["slow", "medium", "fast", "ultra"]
PRESETS: tuple[str, ...] = get_args(PresetName)


def _quote_bits(value: Any) -> str | None:
    """Return the way out of a bit string that was written as a number."""
    digits = type(value) is int and set(str(value)) <= {"0", "1"}
    return quote_it(value, str(value)) if digits else None


BITS = Text("a string of 0 and 1", "^[01]+$", hint=_quote_bits)
RUN = Whole("a whole number of at least 1", least=1)
WORDS_OTHERWISE = "What a 0 means: `dynamic` measures, `static` reuses without measuring."


def _otherwise() -> Any:
    return key("dynamic", word("dynamic", "static"), WORDS_OTHERWISE)


_PART = Part(
    "steps",
    'a bit string such as "110100", a preset (slow, medium, fast, ultra), or a mapping',
    "A mask that says of each step whether it is computed. It needs a known step count.",
    (sets("preset", word(*PRESETS)), sets("bits", BITS)),
    whole=True,
)


@frozen
class BitMask:
    """A literal step mask: `bits` is a string of 0 and 1, 1 = compute; its length is the run's step count."""

    PART: ClassVar[Part] = _PART
    bits: str = key(NOTHING, BITS, "One bit a step, 1 = compute. It must be as long as the run.", examples=("110100",))
    otherwise: Otherwise = _otherwise()


@frozen
class RunsMask:
    """Runs of computed and reused steps in turn, computed first; a longer run is completed with computed steps."""

    PART: ClassVar[Part] = _PART
    compute: tuple[int, ...] = key(
        NOTHING,
        ListOf("a list of run lengths", RUN, least=1),
        "With `cache`: how many steps in turn are computed, reused, computed and so on. A short mask is completed with "
        "computed steps, a long one is cut.",
    )
    cache: tuple[int, ...] = key(NOTHING, ListOf("a list of run lengths", RUN), "As many as `compute`, or one less.")
    otherwise: Otherwise = _otherwise()

    def __attrs_post_init__(self) -> None:
        if len(self.compute) - len(self.cache) not in (0, 1):
            raise refused("RunsMask", "steps", _no_turns(self.compute, self.cache))


@frozen
class AtMask:
    """The computed steps, by index from 0; every other step is a 0 of the mask."""

    PART: ClassVar[Part] = _PART
    at: tuple[int, ...] = key(
        NOTHING,
        ListOf("a list of step indices", Whole("a step index of at least 0"), least=1, ordered=False),
        "The computed steps.",
    )
    otherwise: Otherwise = _otherwise()


@frozen
class PresetMask:
    """A published step mask, designed for 28 and few-step runs, scaled for other counts."""

    PART: ClassVar[Part] = _PART
    preset: PresetName = key(NOTHING, word(*PRESETS), "A published mask; `steps: fast` for short.")
    otherwise: Otherwise = _otherwise()


@frozen
class EveryMask:
    """Steps before `from_` are computed, and from there every `every`-th."""

    PART: ClassVar[Part] = _PART
    every: int = key(NOTHING, RUN, "Every k-th step is computed.")
    from_: int = key(
        0, Whole("a step index of at least 0"), "With `every`: where the interval begins; steps before are computed."
    )
    otherwise: Otherwise = _otherwise()


@frozen
class BudgetMask:
    """`budget` computed steps: the first two, the last, the others spaced as j^power between them."""

    PART: ClassVar[Part] = _PART
    budget: int = key(
        NOTHING,
        RUN,
        "How many steps are computed: the first two, the last, and the others spaced as j^power between them.",
    )
    power: float = key(1.0, Number(least=0.1, most=10), "With `budget`: 1 is even, more is denser at the head.")
    otherwise: Otherwise = _otherwise()


Mask = BitMask | RunsMask | AtMask | PresetMask | EveryMask | BudgetMask
FORMS: tuple[type, ...] = get_args(Mask)
KEYS: dict[str, Any] = {name: one for form in FORMS for name, one in keys_of(form).items() if name != "otherwise"}
KEYS["otherwise"] = keys_of(BitMask)["otherwise"]
"""Every key of a mask, by its spelling; those with a default may be null."""


@frozen
class MaskKind(Kind):
    """A mask, in short or as a mapping with one form."""

    title: str = _PART.expected

    def read(self, value: Any) -> Mask:
        if isinstance(value, FORMS):
            return value  # type: ignore[return-value]
        tree = value if isinstance(value, Mapping) else expand(value)
        read = {}
        found: list[Misfit] = []
        for name, inner in tree.items():
            if name not in KEYS:
                found.append(unknown(name, tuple(KEYS)))
                continue
            declared = KEYS[name].metadata["key"]
            if inner is None and not declared.required:
                continue
            with collected(found, name):
                read[name] = read_value(declared.kind, inner)
        if found:
            raise Misfits(found)
        return _formed(read)

    def longhand(self, value: Any) -> Any:
        return value if value is None or isinstance(value, Mapping) else {**expand(value), "otherwise": None}

    def shorthand(self, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("otherwise", "") is not None:
            return value
        said = [inner for inner in value.values() if inner is not None]
        return said[0] if set(value) <= {"preset", "bits", "otherwise"} and len(said) == 1 else value

    def write(self, value: Mask) -> Any:
        tree = {name: getattr(value, one.name) for name, one in keys_of(type(value)).items()}
        return {name: list(inner) if isinstance(inner, tuple) else inner for name, inner in tree.items()}

    def schema(self) -> Schema:
        forms = [_form_schema(form) for form in FORMS]
        return {"title": self.title, "oneOf": [word(*PRESETS).schema(), BITS.schema(), *forms]}


def _form_schema(form: type) -> Schema:
    """Return the schema of one form: its keys, and the optional ones of the others as null."""
    own = {name: one.metadata["key"] for name, one in keys_of(form).items()}
    keys = {name: key_schema(declared) for name, declared in own.items()}
    keys |= {
        name: {"type": "null"} for name, one in KEYS.items() if name not in own and not one.metadata["key"].required
    }
    required = [name for name, declared in own.items() if declared.required]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": keys}


def key_schema(declared: Any) -> Schema:
    """Return the JSON Schema of one key: its kind, null where it has a default, its words."""
    schema: Schema = dict(declared.kind.schema())
    if not declared.required:
        schema = nullable(schema)
    schema["description"] = declared.words
    if declared.shown is None and type(declared.default) in (bool, int, float, str):
        schema["default"] = declared.default
    if declared.examples:
        schema["examples"] = list(declared.examples)
    return schema


def nullable(schema: Schema) -> Schema:
    """Return `schema`, with null allowed beside."""
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {**schema, "oneOf": [{"type": "null"}, *schema["oneOf"]]}


def expand(value: Any) -> Mapping[str, Any]:
    """Return the long form of a shorthand. Raises `Misfit`."""
    for short in _PART.short:
        try:
            return short.expand(short.kind.read(value))
        except Misfit:
            continue
    raise Misfit(_PART.expected, value, hint=_quote_bits(value))


def _formed(read: Mapping[str, Any]) -> Mask:
    """Make the mask whose form the keys are. Raises `Misfit` where they are none, or several."""
    present = {name for name in read if name != "otherwise"}
    for form in FORMS:
        keys = keys_of(form)
        required = {name for name, one in keys.items() if one.metadata["key"].required}
        if required <= present <= set(keys):
            if "cache" in read and len(read["compute"]) - len(read["cache"]) not in (0, 1):
                raise _no_turns(read["compute"], read["cache"])
            return form(**{keys[name].name: value for name, value in read.items()})  # type: ignore[no-any-return]
    said = ", ".join(f"`{name}`" for name in sorted(present)) or "none of them"
    raise Misfit(
        "one form of mask",
        None,
        code="mask-form",
        message=f"expected one form of mask, got {said}",
        hint="write one of: bits; compute and cache; at; preset; every (and from); budget (and power)",
    )


def _no_turns(compute: Sized, cache: Sized) -> Misfit:
    return Misfit(
        "runs that take turns",
        None,
        code="mask-runs",
        message=f"{len(compute)} computed and {len(cache)} reused runs cannot take turns",
        hint="runs begin with a computed one, so `cache` has as many entries as `compute`, or one less",
    )


MASK = MaskKind()
