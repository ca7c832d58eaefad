"""What happened, step by step: records that a run leaves behind, in and out of JSON Lines. Pure data, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import frozen

Outcome = Literal["computed", "reused"]


@frozen
class UnitRecord:
    """What became of one unit in one step: `value` is the measurement, None where nothing was measured."""

    unit: int
    outcome: Outcome
    reason: str
    value: float | None = None


@frozen
class StepRecord:
    """One step of one stack in one CFG branch.

    `step` is the loop's own index from 0; `blocks_run` of `blocks` were executed; `run` counts runs since attaching,
    `loop` the denoising loops of a run, of which most have one.
    """

    run: int
    transformer: str
    stack: str
    branch: str
    step: int
    outcome: Outcome
    reason: str
    value: float | None
    blocks_run: int
    blocks: int
    units: tuple[UnitRecord, ...] = ()
    loop: int = 0


@frozen
class WarningRecord:
    """Something worth a look, with its numbers in `message`."""

    run: int
    code: str
    message: str


@frozen
class RunRecord:
    """The head of one loop of a run."""

    run: int
    policy: str
    num_inference_steps: int | None
    loop: int = 0


Record = RunRecord | StepRecord | WarningRecord
_KINDS: dict[str, type[Any]] = {"run": RunRecord, "step": StepRecord, "warning": WarningRecord}
_NAMES = {cls: name for name, cls in _KINDS.items()}


KEPT = 100
"""Runs whose records are kept; a server draws images for weeks."""


@attrs.define
class Trace:
    """The records since attaching, oldest first; of many runs, those of the last `KEPT` at least."""

    records: list[Record] = attrs.field(factory=list)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def append(self, record: Record) -> None:
        if isinstance(record, RunRecord) and self.records and self.records[0].run <= record.run - 2 * KEPT:
            self.records = [r for r in self.records if r.run > record.run - KEPT]
        self.records.append(record)

    def steps(
        self, *, run: int | None = None, stack: str | None = None, branch: str | None = None
    ) -> tuple[StepRecord, ...]:
        """Return the step records, filtered by what is given."""
        return tuple(
            r
            for r in self.records
            if isinstance(r, StepRecord)
            and (run is None or r.run == run)
            and (stack is None or r.stack == stack)
            and (branch is None or r.branch == branch)
        )

    def warnings(self, *, run: int | None = None) -> tuple[WarningRecord, ...]:
        return tuple(r for r in self.records if isinstance(r, WarningRecord) and (run is None or r.run == run))

    def to_jsonl(self) -> str:
        """Write one JSON object a line, `kind` first. Not-finite values are written as strings."""
        return "".join(json.dumps(_encode(r)) + "\n" for r in self.records)

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.to_jsonl(), encoding="utf-8")

    @classmethod
    def from_jsonl(cls, lines: str | Iterable[str]) -> Trace:
        """Read what `to_jsonl` wrote."""
        rows = lines.splitlines() if isinstance(lines, str) else lines
        return cls([_decode(json.loads(row)) for row in rows if row.strip()])


def _encode(record: Record) -> dict[str, Any]:
    tree = attrs.asdict(record)
    tree["kind"] = _NAMES[type(record)]
    for holder in (tree, *tree.get("units", ())):
        value = holder.get("value")
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            holder["value"] = str(value)
    return {"kind": tree.pop("kind"), **tree}


def _decode(tree: dict[str, Any]) -> Record:
    cls = _KINDS[tree.pop("kind")]
    for holder in (tree, *tree.get("units", ())):
        if isinstance(holder.get("value"), str):
            holder["value"] = float(holder["value"])
    if cls is StepRecord:
        tree["units"] = tuple(UnitRecord(**unit) for unit in tree["units"])
    record: Record = cls(**tree)
    return record
