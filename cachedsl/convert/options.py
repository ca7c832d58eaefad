"""Settings of an engine, read strictly: each by its kind, what is unknown or wrong as a note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from cachedsl.convert.forms import UNKNOWN, as_written
from cachedsl.convert.notes import BAD_OPTION, Note, bad_option, not_told
from cachedsl.language.kinds import Kind, read_value
from cachedsl.language.misfit import Misfit, Misfits, Path
from cachedsl.language.refusals import nearest
from cachedsl.text.finding import Rule, Severity


class Anything(Kind):
    """A value that is only named, or looked at, not read."""

    def read(self, value: Any) -> Any:
        return value


@frozen
class Option:
    """One setting: what it may hold, and what it is where it is left out."""

    kind: Kind
    default: Any = None


@define
class Options:
    """Settings that were read.

    Attributes:
        engine: what messages call the engine.
        table: every setting there is.
        path: the keys that lead to these.
        values: what was said, by name.
        notes: what there is to say of them.
    """

    engine: str
    table: Mapping[str, Option]
    path: Path = ()
    values: dict[str, Any] = field(factory=dict)
    notes: list[Note] = field(factory=list)

    def __getitem__(self, name: str) -> Any:
        """Return what was said, else the engine's default."""
        return self.values.get(name, self.table[name].default)

    def says(self, name: str) -> bool:
        """Tell whether a setting is another than its default."""
        return name in self.values and self.values[name] != self.table[name].default

    def note(
        self, rule: Rule, name: str, message: str, hint: str | None = None, severity: Severity | None = None
    ) -> None:
        """Say something of one setting."""
        said = f"{name}: {message}"
        self.notes.append(Note(rule, (*self.path, name), said, hint, rule.severity if severity is None else severity))


def read_options(given: Any, table: Mapping[str, Option], engine: str, path: Path = ()) -> Options:
    """Read every setting of a mapping; null is a setting's default."""
    read = Options(engine, table, path)
    if not isinstance(given, Mapping):
        where = ".".join(map(str, path)) or "the file"
        read.notes.append(Note(BAD_OPTION, path, f"{where}: expected a mapping of settings, got {given!r}"))
        return read
    for name, value in given.items():
        if name == UNKNOWN:
            read.notes.append(not_told(value, (*path, name)))
            continue
        if name not in table:
            near = nearest(str(name), table)
            hint = f"did you mean `{near}`?" if near else f"one of {', '.join(table)}"
            read.note(BAD_OPTION, name, f"{engine} has no such setting", hint if len(hint) < 300 else "leave it out")
            continue
        if value is None:
            continue
        for shown in (value, as_written(value)):
            try:
                read.values[name] = read_value(table[name].kind, shown)
            except (Misfit, Misfits) as error:
                misfit = error
            else:
                break
        else:
            read.notes += [one.under(*path) if path else one for one in bad_option(misfit, name)]
    return read


ANY = Option(Anything("anything"))
"""A setting that is named and not read."""
