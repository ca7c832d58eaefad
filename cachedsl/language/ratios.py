"""Calibrated magnitude ratios, one a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from cachedsl.language.kinds import Kind, ListOf, Number, Schema
from cachedsl.language.misfit import Misfit, Misfits, collected

ROW = ListOf("a list of numbers above 0, one a step", Number(above=0), least=1)


@frozen
class Ratios:
    """One ratio a step: for every CFG branch the same, or for each its own."""

    values: tuple[float, ...] = ()
    branches: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def of(self, branch: str) -> tuple[float, ...]:
        """Return the ratios of a CFG branch; one that was not calibrated has those of the first."""
        return dict(self.branches).get(branch, self.branches[0][1]) if self.branches else self.values


@frozen
class RatiosKind(Kind):
    """A list, or a mapping of branches to lists; in a file also the name of another file that has them."""

    title: str = "a list of numbers above 0, one a step, a mapping of CFG branches to such lists, or a file"

    def read(self, value: Any) -> Ratios:
        if isinstance(value, Ratios):
            value = self.write(value)
        if isinstance(value, (list, tuple)):
            return Ratios(values=ROW.read(value))
        if not isinstance(value, Mapping):
            raise Misfit(self.title, value)
        if not value:
            raise Misfit("a mapping of at least one CFG branch to a list of numbers above 0", value)
        rows: list[tuple[str, tuple[float, ...]]] = []
        found: list[Misfit] = []
        for branch, row in value.items():
            with collected(found, branch):
                rows.append((branch, ROW.read(row)))
        if found:
            raise Misfits(found)
        return Ratios(branches=tuple(rows))

    def write(self, value: Ratios) -> Any:
        if value.branches:
            return {branch: list(row) for branch, row in value.branches}
        return list(value.values)

    def schema(self) -> Schema:
        rows = {"type": "object", "minProperties": 1, "additionalProperties": ROW.schema()}
        return {"title": self.title, "oneOf": [{"type": "string", "minLength": 1}, ROW.schema(), rows]}
