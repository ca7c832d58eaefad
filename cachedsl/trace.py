"""What happened, step by step: records that a run leaves behind, in and out of JSON Lines. Pure data, no torch."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import attrs
from attrs import frozen
from cattrs.errors import AttributeValidationNote, BaseValidationError, ForbiddenExtraKeysError, IterableValidationNote

from cachedsl.plan.strict import strict_converter
from cachedsl.text.finding import CachedslError
from cachedsl.text.scalars import printable

Outcome = Literal["computed", "reused"]


@frozen
class UnitRecord:
    """What became of one unit in one step.

    Attributes:
        unit: its index in the stack's plan, from 0.
        outcome: whether it was computed or reused.
        reason: why, as docs/machine.md lists the reasons.
        value: what was measured; none where nothing was.
    """

    unit: int
    outcome: Outcome
    reason: str
    value: float | None = None


@frozen
class StepRecord:
    """One step of one stack in one CFG branch.

    Attributes:
        run: the run's number since attaching, from 0.
        transformer: the pipeline's component name.
        stack: the attribute path of the block list; of a chain the paths of its lists, joined by `+`; with `#2` behind
            it where the list was entered a second time in one forward.
        branch: the CFG branch.
        step: the loop's own index, from 0.
        outcome: `reused` where a unit was, back blocks left out, else `computed`.
        reason: why, as docs/machine.md lists the reasons; of the first such unit.
        value: what was measured for it; none where nothing was.
        blocks_run: how many blocks were executed; those of a step that was tried twice count twice.
        blocks: how many the stack has.
        units: what became of each unit.
        loop: the denoising loop of the run, of which most have one.
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
    """Something worth a look.

    Attributes:
        run: the run's number since attaching.
        code: the rule's code.
        message: what it is, with its numbers.
    """

    run: int
    code: str
    message: str


@frozen
class RunRecord:
    """The head of one loop of a run.

    Attributes:
        run: the run's number since attaching.
        policy: the policy's name.
        num_inference_steps: steps of the loop; none where the count is not known.
        loop: the denoising loop of the run.
    """

    run: int
    policy: str
    num_inference_steps: int | None
    loop: int = 0


Record = RunRecord | StepRecord | WarningRecord
KINDS: dict[str, type[Any]] = {"run": RunRecord, "step": StepRecord, "warning": WarningRecord}
_NAMES = {cls: name for name, cls in KINDS.items()}


class TraceError(CachedslError):
    """A line is no record of a trace."""


SAID = 5
"""Faults of one line that are said."""

KEPT = 100
"""Runs whose records are kept; a server draws images for weeks."""


@attrs.define(repr=False)
class Trace:
    """What happened since attaching, step by step: a list of records, the oldest first.

    `Cached.trace` is one. Of many runs, it keeps those of the last 100 at least.

    Attributes:
        records: `RunRecord`, `StepRecord` and `WarningRecord` objects.

    Example:
        >>> from cachedsl import Trace
        >>> trace = Trace.from_jsonl('{"kind": "run", "run": 0, "policy": "f8b0", "num_inference_steps": 28}')
        >>> trace.records[0].policy
        'f8b0'
    """

    records: list[Record] = attrs.field(factory=list)
    _forgotten: int = attrs.field(default=0, init=False, eq=False)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __str__(self) -> str:
        runs = {record.run for record in self.records}
        steps = {(step.run, step.loop, step.step) for step in self.steps()}
        return f"{_many(runs, 'run')}, {_many(steps, 'step')}, {_many(self.warnings(), 'warning')}"

    def __repr__(self) -> str:
        return f"<Trace: {self}>"

    def append(self, record: Record, going: Collection[int] = ()) -> None:
        """Add a record; where it begins a run, old ones are forgotten, but not those of the runs `going` on."""
        if isinstance(record, RunRecord) and record.run >= self._forgotten + 2 * KEPT:
            self._forgotten = record.run - KEPT
            self.records = [r for r in self.records if r.run > self._forgotten or r.run in going]
        self.records.append(record)

    def steps(
        self, *, run: int | None = None, stack: str | None = None, branch: str | None = None
    ) -> tuple[StepRecord, ...]:
        """Return the step records, the oldest first.

        Args:
            run: only those of this run.
            stack: only those of this block list.
            branch: only those of this CFG branch.
        """
        return tuple(
            r
            for r in self.records
            if isinstance(r, StepRecord)
            and (run is None or r.run == run)
            and (stack is None or r.stack == stack)
            and (branch is None or r.branch == branch)
        )

    def warnings(self, *, run: int | None = None) -> tuple[WarningRecord, ...]:
        """Return the warnings, the oldest first; with `run`, only those of this run."""
        return tuple(r for r in self.records if isinstance(r, WarningRecord) and (run is None or r.run == run))

    def to_jsonl(self) -> str:
        """Return JSON Lines: one object for each record, `kind` first. Values that are not finite are strings."""
        return "".join(json.dumps(_encode(r)) + "\n" for r in self.records)

    def save(self, path: str | Path) -> None:
        """Write `to_jsonl` to a file, in UTF-8."""
        Path(path).write_text(self.to_jsonl(), encoding="utf-8")

    @classmethod
    def from_jsonl(cls, lines: str | Iterable[str]) -> Trace:
        """Read what `to_jsonl` wrote.

        Args:
            lines: the whole text, or its lines, such as an open file. Empty lines are passed over.

        Raises:
            TraceError: a line is no record; the message has its number, what was expected and what came.
        """
        rows = lines.split("\n") if isinstance(lines, str) else lines
        numbered = enumerate(rows, 1)
        return cls([_decode(row, number) for number, row in numbered if not isinstance(row, str) or row.strip()])


def _many(things: Any, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


NOT_FINITE = ("nan", "inf", "-inf")


def _written(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _read(value: Any, _: Any) -> float:
    if type(value) not in (int, float) and value not in NOT_FINITE:
        raise ValueError(f"expected a number, 'nan', 'inf' or '-inf', got {reprlib.repr(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"expected a number within a float's range, got {reprlib.repr(value)}") from None


def _outcome(value: Any, _: Any) -> Any:
    choices = get_args(Outcome)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"expected {' or '.join(map(repr, choices))}, got {reprlib.repr(value)}")
    return value


def _units(value: Any, _: Any) -> tuple[UnitRecord, ...]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list of units, got {reprlib.repr(value)}")
    return tuple(_CONVERTER.structure(value, list[UnitRecord]))


_CONVERTER = strict_converter()
_CONVERTER.register_unstructure_hook(float, _written)
_CONVERTER.register_structure_hook(float, _read)
_CONVERTER.register_structure_hook_func(lambda kind: kind == Outcome, _outcome)
_CONVERTER.register_structure_hook_func(lambda kind: kind == tuple[UnitRecord, ...], _units)


def _encode(record: Record) -> dict[str, Any]:
    return {"kind": _NAMES[type(record)], **_CONVERTER.unstructure(record)}


def _decode(row: Any, number: int) -> Record:
    try:
        return _record(row)
    except (BaseValidationError, ValueError) as error:
        faults = [*_faults(error)]
    except RecursionError:
        faults = ["expected a record, got values nested too deep to read"]
    more = f"; and {len(faults) - SAID} more" if len(faults) > SAID else ""
    raise TraceError(printable(f"line {number}: {'; '.join(faults[:SAID])}{more}"))


def _record(row: Any) -> Record:
    if not isinstance(row, str):
        raise ValueError(f"expected a line of text, got {reprlib.repr(row)}")
    try:
        tree = json.loads(row, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        said = f"{error.msg} at column {error.colno}"
        raise ValueError(f"expected a record as JSON, got {reprlib.repr(row.strip())} ({said})") from None
    if not isinstance(tree, dict):
        raise ValueError(f"expected a record, a JSON object, got {reprlib.repr(tree)}")
    kind = tree.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind: expected 'run', 'step' or 'warning', got {reprlib.repr(kind)}")
    record: Record = _CONVERTER.structure(tree, KINDS[kind])
    return record


def _no_constant(name: str) -> None:
    raise ValueError(f"expected a record as JSON, got {name}, which is written as a string")


def _faults(error: BaseException, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what is wrong in what the converter raised, each with its place in the record."""
    head = f"{'.'.join(path)}: " if path else ""
    if isinstance(error, ForbiddenExtraKeysError):
        known = ", ".join(one.name for one in attrs.fields(error.cl))
        yield from (f"{head}unknown key {reprlib.repr(key)}; there are {known}" for key in sorted(error.extra_fields))
    elif isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            step = _step(inner)
            if isinstance(inner, KeyError):
                yield f"{head}key {step!r} is missing"
            else:
                yield from _faults(inner, path if step is None else (*path, step))
    else:
        yield f"{head}{error}"


def _step(error: BaseException) -> str | None:
    """Return the attribute or index at which an error stands, where cattrs noted one."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return note.name
        if isinstance(note, IterableValidationNote):
            return str(note.index)
    return None
