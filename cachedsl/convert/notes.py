"""What a conversion came to, and what is to be said of it. Every engine's conversion uses these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen
from cattrs.errors import BaseValidationError

from cachedsl.language.kinds import spelt
from cachedsl.language.misfit import Misfit, Misfits, Path
from cachedsl.language.part import CONVERTER, misfits
from cachedsl.language.policy import Policy
from cachedsl.language.refusals import describe, finding_of
from cachedsl.rules.base import Meaning
from cachedsl.rules.convert.settings import BAD_OPTION, DIFFERS, IDLE_OPTION, NOT_CARRIED
from cachedsl.rules.registry import run_checks
from cachedsl.text.finding import CachedslError, Finding, Rule, Severity, Span
from cachedsl.text.scalars import shortened

__all__ = [
    "BAD_OPTION",
    "DIFFERS",
    "IDLE_OPTION",
    "NOT_CARRIED",
    "ConversionError",
    "Converted",
    "Exported",
    "Note",
    "bad_option",
]


class ConversionError(CachedslError):
    """Settings cannot be converted. `notes` has everything that was found; the text shows the errors."""

    def __init__(self, notes: tuple[Note, ...]) -> None:
        super().__init__("\n".join(str(note) for note in notes if note.severity == "error"))
        self.notes = notes


@frozen
class Note:
    """Something to be said of one setting.

    Attributes:
        rule: what kind of thing it is.
        path: the keys that lead to the setting, in the source.
        message: what is said of it, without a full stop.
        hint: the way out, without a full stop.
        severity: `error` where the result must not be used as it is.
    """

    rule: Rule
    path: Path
    message: str
    hint: str | None = None
    severity: Severity = field()

    @severity.default
    def _severity(self) -> Severity:
        return self.rule.severity

    def finding(self, span: Span) -> Finding:
        """Return the finding of this at `span`, the place of `path` in a file."""
        return self.rule.finding(self.message, span, self.hint, severity=self.severity)

    def under(self, *steps: str | int) -> Note:
        """Return the same, seen from further out."""
        return evolve(self, path=(*steps, *self.path))

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@frozen
class Converted:
    """A policy made of another engine's settings.

    Attributes:
        tree: the policy as YAML has it: `version` and what differs from the defaults; it has no `name`. Empty where
            nothing can be carried over.
        notes: what is to be said, in the order of the settings. Where one is an error, `tree` lacks that setting.
        steps: the step count that the settings name, None where they name none.
    """

    tree: Mapping[str, Any]
    notes: tuple[Note, ...] = ()
    steps: int | None = None

    @property
    def errors(self) -> tuple[Note, ...]:
        return tuple(note for note in self.notes if note.severity == "error")

    def without_errors(self) -> Converted:
        """Return what can be carried over, without the notes that keep the rest from it."""
        return evolve(self, notes=tuple(note for note in self.notes if note.severity != "error"))

    def policy(self, name: str = "converted") -> Policy:
        """Return the policy.

        Raises:
            ConversionError: a note is an error, or the settings do not go together in this language.
        """
        if self.errors:
            raise ConversionError(self.notes)
        if not self.tree:
            raise ConversionError((Note(NOT_CARRIED, (), "nothing of these settings can be carried over"),))
        try:
            made: Policy = evolve(CONVERTER.structure(dict(self.tree), Policy), name=name)
        except (BaseValidationError, Misfit, Misfits) as error:
            raise ConversionError(tuple(bad_option(error))) from None
        found = tuple(run_checks("meaning", Meaning(made)))
        if any(finding.severity == "error" for finding in found):
            raise ConversionError(tuple(Note(one.rule, (), one.message, one.hint) for one in found))
        return made


@frozen
class Exported:
    """Another engine's settings, made of a policy.

    Attributes:
        options: the settings as that engine spells them.
        stacks: what differs for some block lists, by name, spelt alike.
        notes: what the engine cannot say; paths are those of the policy. An error is a setting that is missing in
            `options` and changes what is computed.
    """

    options: Mapping[str, Any]
    stacks: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    notes: tuple[Note, ...] = ()

    @property
    def errors(self) -> tuple[Note, ...]:
        return tuple(note for note in self.notes if note.severity == "error")


def not_told(said: Any, path: Path) -> Note:
    """Return the note of a piece of a program that adds or changes settings nobody can know beforehand."""
    message = f"what `{shortened(str(said), 80)}` does to the settings cannot be told without running it"
    return Note(BAD_OPTION, path, message, "write the settings out")


def bad_option(error: Any, *path: str | int) -> list[Note]:
    """Return the notes of a value that does not fit, in the words of a policy's own."""
    notes = []
    for misfit in misfits(error):
        said = finding_of(_named(misfit, path), Span(""), describe(misfit.value if misfit.key is None else misfit.key))
        notes.append(Note(BAD_OPTION, (*path, *misfit.path), said.message, said.hint))
    return notes


def _named(misfit: Misfit, path: tuple[str | int, ...]) -> Misfit:
    return misfit.under(*(spelt(step) if isinstance(step, str) else step for step in path))
