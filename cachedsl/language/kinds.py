"""What a key may hold: each kind says it in words and as JSON Schema, and reads it strictly, without coercion."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from attrs import frozen

from cachedsl.language.misfit import Misfit, Misfits, collected
from cachedsl.text.scalars import quoted, resolve_scalar, written

MAX_NUMBER = 1_000_000
"""Of a count or a threshold, in every way to write a policy."""

Schema = dict[str, Any]


@frozen
class Kind:
    """What a value may be; subclasses say how it is read and what JSON Schema says of it."""

    title: str

    def read(self, value: Any) -> Any:
        """Return what `value`, as YAML and JSON have it, means. Raises `Misfit` or `Misfits`."""
        raise NotImplementedError

    def schema(self) -> Schema:
        """Return JSON Schema that accepts what `read` does."""
        raise NotImplementedError

    def write(self, value: Any) -> Any:
        """Return what `read` read, as YAML and JSON have it."""
        return value

    def parts(self) -> tuple[Any, ...]:
        """Return the classes of the parts that it holds."""
        return ()

    def longhand(self, value: Any) -> Any:
        """Return a value as written with its shorthands in their long form."""
        return value

    def shorthand(self, value: Any) -> Any:
        """Return a long form with a shorthand wherever one says the same."""
        return value


QUOTE = "quote it"
UNQUOTE = "leave out the quotes"
"""How the two ways out of a value of the wrong type begin."""


def read_value(kind: Kind, value: Any) -> Any:
    """Return what `kind` reads of a value; where it would read it in quotes, or out of them, the error says so."""
    try:
        return kind.read(value)
    except Misfit as misfit:
        if not misfit.path and misfit.code == "bad-value":
            misfit.hint = _other_type(kind, value) or misfit.hint
        raise


def _other_type(kind: Kind, value: Any) -> str | None:
    if isinstance(value, str):
        other: Any = resolve_scalar(value)
        way_out = f"{UNQUOTE}, it is {_type_of(other)} and not text: {value}"
    elif isinstance(value, (bool, int, float)):
        other = written(value)
        way_out = quote_it(value, other)
    else:
        return None
    if other is None or type(other) is type(value):
        return None
    try:
        kind.read(other)
    except (Misfit, Misfits):
        return None
    return way_out


def quote_it(value: Any, text: str) -> str:
    """Return the way out of a text that was written as `text`, and read as another value."""
    return f"{QUOTE}, it is text and not {_type_of(value)}: {quoted(text)}"


def _type_of(value: Any) -> str:
    return "true or false" if isinstance(value, bool) else "a number"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@frozen
class Whole(Kind):
    """A whole number; `4.0` is one too, as in JSON Schema."""

    title: str = ""
    least: int = 0
    most: int = MAX_NUMBER

    def __attrs_post_init__(self) -> None:
        if not self.title:
            of = f"of at least {self.least}" if self.most == MAX_NUMBER else f"from {self.least} to {self.most}"
            object.__setattr__(self, "title", f"a whole number {of}")

    def read(self, value: Any) -> int:
        if not _is_number(value) or (isinstance(value, float) and not value.is_integer()):
            raise Misfit(self.title, value)
        if value > self.most == MAX_NUMBER:
            raise beyond_use(value)
        if not self.least <= value <= self.most:
            raise Misfit(self.title, value)
        return int(value)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most, "title": self.title}


@frozen
class Number(Kind):
    """A finite number, at least `least` or above `above`."""

    title: str = ""
    least: float | None = None
    above: float | None = None
    most: float = MAX_NUMBER

    def __attrs_post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self._title())

    def _title(self) -> str:
        if self.above is not None:
            return f"a number above {self.above:g}" + (f" and at most {self.most:g}" if self.most < MAX_NUMBER else "")
        if self.least is None:
            return "a number"
        of = f"of at least {self.least:g}" if self.most == MAX_NUMBER else f"from {self.least:g} to {self.most:g}"
        return f"a number {of}"

    def read(self, value: Any) -> float:
        if not _is_number(value):
            raise Misfit(self.title, value)
        if isinstance(value, float) and not math.isfinite(value):
            raise not_finite(value)
        if value > self.most == MAX_NUMBER:
            raise beyond_use(value)
        low = self.least is not None and value < self.least
        if low or (self.above is not None and value <= self.above) or value > self.most:
            raise Misfit(self.title, value)
        return float(value)

    def schema(self) -> Schema:
        bounds: Schema = {}
        if self.least is not None:
            bounds["minimum"] = self.least
        if self.above is not None:
            bounds["exclusiveMinimum"] = self.above
        return {"type": "number", **bounds, "maximum": self.most, "title": self.title}


def beyond_use(value: Any) -> Misfit:
    """Say that a number is larger than anything that a policy could mean."""
    misfit = Misfit(f"a number up to {MAX_NUMBER}", value)
    misfit.beyond_use = True
    return misfit


def not_finite(value: Any) -> Misfit:
    """Say that a number is NaN or infinite."""
    return Misfit(
        "a finite number", value, code="not-finite", hint="write a number, or leave the key out for its default"
    )


@frozen
class Word(Kind):
    """One of a few words; `choices` may be a registry, whose words other packages add to."""

    title: str = ""
    choices: Collection[str] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.choices)

    @property
    def expected(self) -> str:
        return self.title or listed(self.words)

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise Misfit(self.expected, value)
        return value

    def schema(self) -> Schema:
        return {"enum": list(self.words), "title": self.expected}


def word(*choices: str) -> Word:
    """Return the kind of one of these words."""
    return Word(choices=choices)


def listed_all(names: Iterable[str]) -> str:
    """Write names one after another, each in back quotes."""
    return ", ".join(f"`{name}`" for name in names)


def listed(words: tuple[str, ...], last: str = "or") -> str:
    """Write words as a list in a sentence, each in back quotes."""
    quoted = [f"`{one}`" for one in words]
    return f"{', '.join(quoted[:-1])} {last} {quoted[-1]}" if len(quoted) > 1 else "".join(quoted)


@frozen
class Text(Kind):
    """A text; `pattern` must match the whole of it."""

    title: str = "a text"
    pattern: str | None = None
    least: int = 0
    hint: Callable[[Any], str | None] | None = None

    def read(self, value: Any) -> str:
        if isinstance(value, str) and len(value) >= self.least and self._matches(value):
            return value
        raise Misfit(self.title, value, hint=self.hint(value) if self.hint else None)

    def _matches(self, value: str) -> bool:
        return self.pattern is None or re.fullmatch(self.pattern.removeprefix("^").removesuffix("$"), value) is not None

    def schema(self) -> Schema:
        schema: Schema = {"type": "string"}
        if self.pattern is not None:
            schema["pattern"] = self.pattern
        if self.least:
            schema["minLength"] = self.least
        return {**schema, "title": self.title}


@frozen
class Flag(Kind):
    """True or false."""

    title: str = "true or false"

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise Misfit(self.title, value)
        return value

    def schema(self) -> Schema:
        return {"type": "boolean", "title": self.title}


@frozen
class Const(Kind):
    """One value."""

    title: str
    value: Any

    def read(self, value: Any) -> Any:
        if type(value) is not type(self.value) or value != self.value:
            raise Misfit(self.title, value)
        return value

    def schema(self) -> Schema:
        return {"const": self.value, "title": self.title}


@frozen
class ListOf(Kind):
    """A list of `items`.

    Attributes:
        unique: whether an item may stand only once.
        ordered: whether the order tells; else it is read sorted, each item once.
    """

    title: str
    items: Kind
    least: int = 0
    most: int = 10_000
    unique: bool = False
    ordered: bool = True

    def read(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or len(value) < self.least:
            raise Misfit(self.title, value)
        if len(value) > self.most:
            raise Misfit(f"at most {self.most} entries", value)
        read: list[Any] = []
        found: list[Misfit] = []
        for index, item in enumerate(value):
            with collected(found, index):
                one = read_value(self.items, item)
                if self.unique and one in read:
                    raise Misfit("", item, message="{value} stands twice", hint="keep one of the two")
                read.append(one)
        if found:
            raise Misfits(found)
        return tuple(read) if self.ordered else tuple(sorted(set(read)))

    def write(self, value: Any) -> list[Any]:
        return [self.items.write(item) for item in value]

    def schema(self) -> Schema:
        schema: Schema = {"type": "array", "items": self.items.schema()}
        if self.least:
            schema["minItems"] = self.least
        schema["maxItems"] = self.most
        if self.unique:
            schema["uniqueItems"] = True
        return {**schema, "title": self.title}


@frozen
class Either(Kind):
    """One of several kinds; what is refused is said of all of them together, a number's bounds of itself."""

    title: str
    kinds: tuple[Kind, ...]

    def read(self, value: Any) -> Any:
        for kind in self.kinds:
            try:
                return kind.read(value)
            except Misfits:
                raise
            except Misfit as misfit:
                if misfit.code != "bad-value" or misfit.beyond_use:
                    raise
        raise Misfit(self.title, value)

    def write(self, value: Any) -> Any:
        return value

    def schema(self) -> Schema:
        return {"title": self.title, "oneOf": [kind.schema() for kind in self.kinds]}


@frozen
class Share(Kind):
    """A share of the run's steps, such as `20%`."""

    title: str = "a share of the run, such as `20%`"
    pattern = r"^(100|[0-9]{1,2})%$"

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or re.fullmatch(self.pattern[1:-1], value) is None:
            raise Misfit(self.title, value)
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": self.pattern, "title": self.title}


@frozen
class Key:
    """One key of the language: what it may hold, its default, and what it means in words.

    Attributes:
        kind: what it may hold.
        words: what it means, one sentence.
        shown: its default in the key table, where the value itself does not say it.
        examples: a few values, for editors.
        required: whether a mapping in a file must have it.
    """

    kind: Kind
    words: str
    default: Any = None
    shown: str | None = None
    examples: tuple[Any, ...] = ()
    required: bool = False


def spelt(name: str) -> str:
    """Return how policies spell an attribute: `from_` is `from`."""
    return name.rstrip("_")
