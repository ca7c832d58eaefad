"""A value that does not fit, and where; the rules and words for it are in `refusals.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cachedsl.text.finding import Rule

Path = tuple[str | int, ...]


class Misfit(ValueError):
    """A value that does not fit.

    Attributes:
        expected: what was expected, in words.
        value: what came.
        path: where, relative to what was read.
        code: of the rule that it breaks.
        message: the whole message, where `expected … got …` does not say it.
        hint: the way out.
        key: the key of the mapping at `path` that it is about: unknown, missing, or no name.
        rule: the rule of that code, where it is none of those of every value.
        beyond_use: whether a program may say it, though no file may: a huge number, a name with capitals.
    """

    beyond_use = False

    def __init__(
        self,
        expected: str,
        value: Any,
        *,
        path: Path = (),
        code: str = "bad-value",
        message: str | None = None,
        hint: str | None = None,
        key: str | None = None,
        rule: Rule | None = None,
    ) -> None:
        super().__init__(message or f"expected {expected}")
        self.expected, self.value, self.path = expected, value, path
        self.code, self.message, self.hint, self.key = rule.code if rule else code, message, hint, key
        self.rule = rule

    def under(self, *steps: str | int) -> Misfit:
        """Return the same, seen from further out."""
        outer = Misfit(
            self.expected,
            self.value,
            path=(*steps, *self.path),
            code=self.code,
            message=self.message,
            hint=self.hint,
            key=self.key,
            rule=self.rule,
        )
        outer.beyond_use = self.beyond_use
        return outer


class Misfits(ValueError):
    """Several of them."""

    def __init__(self, found: list[Misfit]) -> None:
        super().__init__(f"{len(found)} values do not fit")
        self.found = found


@contextmanager
def collected(found: list[Misfit], *steps: str | int) -> Iterator[None]:
    """Add what does not fit in the body to `found`, as seen from `steps` further out, and go on behind it."""
    try:
        yield
    except Misfit as misfit:
        found.append(misfit.under(*steps))
    except Misfits as several:
        found += [misfit.under(*steps) for misfit in several.found]
