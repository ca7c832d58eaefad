"""One pass over one stack, block by block: every call asks the machine, and what comes is checked and learned from.

The first step of a run goes this way, and whatever cannot be a view (see `views.py`): pruned and deciding back blocks,
lists that are entered twice, loops that hand on what each block returned, calls of other shapes than the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from attrs import define, field, frozen
from torch import nn

from cachedsl.machine.events import (
    Action,
    ComputeUnit,
    Measure,
    Observe,
    ReuseUnit,
    StepEnded,
    StepStarted,
    StoreAnchor,
    UnitDone,
    UnitMeasured,
    UnitReached,
)
from cachedsl.matching.patterns import Stream
from cachedsl.plan.ir import Unit
from cachedsl.runtime.driver import Driver
from cachedsl.runtime.errors import CannotJoin, SkippedBlock
from cachedsl.runtime.features import Position
from cachedsl.runtime.groups import Loading, grouped
from cachedsl.runtime.held import Held, added, hold, version_of, worked
from cachedsl.runtime.ports import Ports, Streams, chain_label, concatenated, loop_writes, note_loop_writes
from cachedsl.runtime.settle import compared, step_record
from cachedsl.runtime.traits import Path, UnitPath
from cachedsl.signals import Meter, ModelInput, StepView, any_rank
from cachedsl.trace import StepRecord, UnitRecord


@frozen
class StepFacts:
    """What a step knows beyond its blocks' calls; see `StepView`."""

    model_input: ModelInput | None = None
    mixing: Callable[[], tuple[float, float]] = lambda: (1.0, 0.0)


@define
class _Front:
    """What the front blocks showed, where something goes by it."""

    held: Held | None = None
    exit: torch.Tensor | None = None
    modulated: torch.Tensor | None = None
    added: torch.Tensor | None = None


@define
class _Left:
    """What the last block that ran returned: `streams` to go by, `as_is` the versions of tensors that were copied."""

    returned: Streams = field(factory=dict)
    streams: Streams = field(factory=dict)
    as_is: dict[Stream, tuple[torch.Tensor, int | None]] = field(factory=dict)


@define
class _InUnit:
    """The unit in progress.

    Attributes:
        unit: which one.
        entry: what entered it.
        held: the same, where it is computed.
        decision: the machine's.
        now: this step's tap of its signal.
        added: what the loop did to each stream between its blocks.
        inner: what each of its blocks added, where they return it on reused steps too.
        joined: what entered its later list, made of the streams that entered the first.
    """

    unit: Unit
    entry: Streams
    decision: ComputeUnit | ReuseUnit
    held: Held | None = None
    now: Any = None
    added: dict[Stream, torch.Tensor] = field(factory=dict)
    inner: dict[int, Streams] = field(factory=dict)
    joined: torch.Tensor | None = None

    def entered(self) -> Streams:
        """Return the streams that what leaves is compared with."""
        return self.entry if self.joined is None else {**self.entry, "hidden": self.joined}


class Asking:
    """Answers the calls of one stack's blocks, in the order in which the model's loop makes them."""

    def __init__(
        self,
        driver: Driver,
        ports: Ports,
        at: Position,
        leader: Literal["compute", "reuse"] | None,
        facts: StepFacts,
        handles: tuple[Any, ...] = (),
    ) -> None:
        self._driver = driver
        self._ports = ports
        self._at = at
        self._facts = facts
        self._loading = Loading(grouped(handles))
        self._exact = driver.exact  # nothing will ever be reused, so nothing need be held
        self._front = _Front()
        self._left = _Left()
        self._in: _InUnit | None = None
        self._spoilt = False
        self._records: list[UnitRecord] = []
        self._middle: tuple[Meter, Any] | None = None
        self._ran: list[int] = []
        self._last = -1
        self._observing = any(isinstance(action, Observe) for action in driver.feed(StepStarted(at.step, leader)))

    def call_block(
        self, index: int, block: nn.Module, run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Run block `index` by `run`, or return what stands in for it, in the block's own output form."""
        if index == 0 and self._driver.shows_modulated_input:
            self._front.modulated = self._ports[0].modulated_input(block, args, kwargs)
        if self._in is not None and index >= self._in.unit.stop:
            self._leave_early()
        unit = self._driver.unit_at(index)
        if unit is not None and all(record.unit != unit.index for record in self._records):
            self._reach(unit, index, block, args, kwargs)  # its first block, or the first that the loop calls
        elif unit is not None and self._in is None and unit.index in self._driver.snapshot.reused_units:
            raise self._other_blocks(unit, index)
        if self._in is not None and isinstance(self._in.decision, ReuseUnit):
            return self._stand_in(self._in, index, block, args, kwargs)
        return self._run(index, block, run, args, kwargs)

    def end(self, run: int, branch: str, passage: int, loop: int) -> StepRecord:
        """End the step and return what became of it; `passage` counts how often the list was entered before.

        Raises:
            SkippedBlock: the loop left a reused unit before the block that its anchor ended with.
        """
        if self._in is not None:
            self._leave_early()
        self._loading.end()
        self._driver.feed(StepEnded())
        record = step_record(
            self._driver.plan,
            self._records,
            run=run,
            branch=branch,
            step=self._at.step,
            passage=passage,
            loop=loop,
            blocks_run=len(self._ran),
        )
        if self._observing and self._middle is not None:
            self._driver.observe_later(*self._middle, computed=record.outcome == "computed")
        return record

    def path(self) -> Path | None:
        """Return which blocks the loop called, once the step has ended; None where some were stood in for."""
        if any(record.outcome == "reused" for record in self._records):
            return None
        called: dict[int, list[int]] = {}
        for index in self._ran:
            unit = self._driver.unit_at(index)
            if unit is not None:
                called.setdefault(unit.index, []).append(index)
        units = tuple(UnitPath(unit, ran[0], ran[-1], len(ran), self._moved(unit)) for unit, ran in called.items())
        return Path(len(self._ran) - sum(unit.blocks for unit in units), units)

    def _moved(self, unit: int) -> frozenset[Stream] | None:
        features = self._driver.features[unit]
        return frozenset(features.residuals) if features.last_step == self._at.step else None

    def _leave_early(self) -> None:
        """Leave a unit whose last blocks the loop skipped: what the last one that ran returned is the unit's result."""
        assert self._in is not None
        if isinstance(self._in.decision, ReuseUnit):
            raise self._other_blocks(self._in.unit, self._last)
        self._finish(self._in, self._left.streams)

    def _other_blocks(self, unit: Unit, at: int) -> SkippedBlock:
        return other_blocks(chain_label(self._ports), unit, self._driver.features[unit.index].exit_index, at)

    def _reach(
        self, unit: Unit, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Let the machine decide over `unit`, the first of whose blocks that the loop calls is about to be called."""
        features = self._driver.features[unit.index]
        entry = self._ports[index].read(block, args, kwargs)
        if self._front.added is None and self._driver.needs_probe:
            self._front.added = self._probe()
        now = None if features.meter is None else features.meter.look(self._view(entry))
        if features.meter is not None and unit.kind == "middle":
            self._middle = (features.meter, now)
        changed = self._changed(features.shape_changed(entry) or self._spoilt, entry)
        value = None
        actions = self._driver.feed(UnitReached(unit.index, changed))
        if any(isinstance(action, Measure) for action in actions):
            assert features.meter is not None, "only what has a signal is measured"
            measured = features.meter.measure(now)
            actions = self._driver.feed(UnitMeasured(unit.index, measured))
            value = compared(self._driver.plan, self._driver.snapshot, unit, measured)
        decision = decided(actions)
        held = None
        if isinstance(decision, ComputeUnit):
            held = hold(self._ports[index], entry, exact=self._exact)
            entry = held.streams
        self._in = _InUnit(unit, entry, decision, held, now)
        self._records.append(
            UnitRecord(unit.index, "reused" if isinstance(decision, ReuseUnit) else "computed", decision.reason, value)
        )

    def _changed(self, here: bool, entry: Streams) -> bool:
        """Tell whether shapes have changed for any rank, of which each may have other parts of the tokens."""
        hidden = entry["hidden"]
        return any_rank(here, hidden.device) if self._driver.moved and hidden is not None else here

    def _view(self, entry: Streams) -> StepView:
        hidden, front = entry["hidden"], self._front
        assert hidden is not None, "reading a block's arguments has seen that there is one"
        return StepView(
            self._at.step,
            hidden,
            None if front.held is None else front.held.streams["hidden"],
            front.exit,
            front.modulated,
            self._facts.model_input,
            self._facts.mixing,
        )

    def _probe(self) -> torch.Tensor:
        """Return what the front blocks added, where the predictor goes by it."""
        front = self._front
        assert front.held is not None, "the checks have seen that there is a front block"
        assert front.exit is not None, "the front blocks run before the first unit"
        return (front.exit - front.held.streams["hidden"]).detach()  # type: ignore[operator]

    def _let_go(self, held: Held) -> None:
        """Learn whether what `held` holds was written into; where that comes as a surprise, this step is no anchor."""
        if self._exact or held.port.traits.writes:
            return
        written = held.written()
        held.port.note_writes(written)
        self._spoilt |= written and not held.copied

    def _run(
        self, index: int, block: nn.Module, run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        port, inside = self._ports[index], self._in
        streams = port.read(block, args, kwargs)
        if self._last >= 0 and self._ports[self._last].loop is port.loop:
            port.check_order(block, streams, self._left.returned)
        if inside is not None and self._last >= inside.unit.start and self._concatenates(index):
            worked_on = worked(inside.entry, inside.added)
            inside.joined = concatenated(port.declared.joins, worked_on["hidden"], worked_on.get("encoder"))
            inside.added = {}
        elif inside is not None and self._last >= inside.unit.start and port.applies_between:
            self._note_work(inside, streams)
        taps_front = self._driver.plan.taps_front
        if index == 0 and taps_front:
            self._front.held = hold(port, {"hidden": streams["hidden"]}, exact=self._exact)
        self._loading.before(index)
        output = run(*args, **kwargs)
        self._loading.after(index)
        self._ran.append(index)
        after = port.unwrap(block, output)
        if index == self._driver.plan.front - 1 and taps_front:
            self._front.exit = after["hidden"]
            if self._front.held is not None:
                self._let_go(self._front.held)
        self._leave(index, after)
        if inside is not None and index < inside.unit.stop - 1 and port.keeps:
            inside.inner[index] = added(inside.entry, after)
        if inside is not None and index == inside.unit.stop - 1:
            self._finish(inside, after)
        return output

    def _concatenates(self, index: int) -> bool:
        """Tell whether a list begins here whose hidden states are made of both streams of the list before."""
        last, port = self._ports[self._last], self._ports[index]
        return last.loop is not port.loop and port.declared.joins in ("encoder_first", "hidden_first")

    def _leave(self, index: int, after: Streams) -> None:
        """Keep what block `index` returned; a copy where the loop may write into it before the next block."""
        self._left, self._last = _Left(after, after), index
        if self._in is None or index == self._in.unit.stop - 1 or loop_writes(self._ports) is False:
            return
        if self._ports[index].applies_between:
            self._left.as_is = {name: (t, version_of(t)) for name, t in after.items() if t is not None}
            self._left.streams = {name: None if t is None else t.clone() for name, t in after.items()}

    def _note_work(self, inside: _InUnit, streams: Streams) -> None:
        """Sum up what the loop itself did to a stream between two blocks of a computed unit, a ControlNet's residuals.

        On a reused step the loop does the like to what stands in, so it is no part of what the blocks add.
        """
        for name, now in streams.items():
            before = self._left.streams.get(name)
            if now is None or before is None or now is before or now.shape != before.shape:
                continue
            same, version = self._left.as_is.get(name, (None, None))
            if now is same:
                if version == version_of(now) if version is not None else torch.equal(now, before):
                    continue
                note_loop_writes(self._ports, True)
            known, work = inside.added.get(name), now - before
            inside.added[name] = work if known is None else known + work

    def _stand_in(
        self, inside: _InUnit, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        port, features = self._ports[index], self._driver.features[inside.unit.index]
        if not port.applies_between and self._last >= inside.unit.start and self._concatenates(index):
            inside.joined = concatenated(port.declared.joins, inside.entry["hidden"], inside.entry.get("encoder"))
        self._last = index
        if index > features.exit_index or port.traits.form is None:
            raise self._other_blocks(inside.unit, index)
        if index != features.exit_index:
            streams: Streams = {**features.values, **port.read(block, args, kwargs)}
            if port.keeps:
                streams |= features.inside(index, inside.entry)
        else:
            entry = port.read(block, args, kwargs) if port.applies_between else inside.entered()
            streams = features.approximate(self._at, entry, self._front.added)
            self._finish(inside, None)
        return port.wrap(streams)

    def _finish(self, inside: _InUnit, after: Streams | None) -> None:
        """Leave the unit; `after` is what it returned where it was computed."""
        if inside.held is not None:
            self._let_go(inside.held)
        for action in self._driver.feed(UnitDone(inside.unit.index)):
            if isinstance(action, StoreAnchor):
                assert after is not None, "only a computed unit has an anchor to store"
                self._store(inside, after)
        self._in = None

    def _store(self, inside: _InUnit, after: Streams) -> None:
        entered = inside.entry["hidden"] if inside.joined is None else inside.joined
        check_join(self._driver, self._ports, entered, after["hidden"])
        if self._exact:
            return
        features = self._driver.features[inside.unit.index]
        entry, joined = inside.entry, inside.joined
        if joined is None:
            entry = worked(entry, inside.added)
        else:
            joined = worked({"hidden": joined}, inside.added)["hidden"]
        features.store(self._at, entry, after, self._front.added, self._last, joined)
        features.keep_inside(inside.inner)
        if self._spoilt:
            features.distrust()
        if features.meter is not None:
            features.meter.keep(inside.now)
        if loop_writes(self._ports) is None and self._last > inside.unit.start:
            note_loop_writes(self._ports, False)


def check_join(driver: Driver, ports: Ports, entry: torch.Tensor | None, leave: torch.Tensor | None) -> None:
    """Refuse a chain of lists through which `hidden_states` do not go in one shape.

    Raises:
        CannotJoin: they enter in one and leave in another.
    """
    assert entry is not None, "reading a block's arguments has seen that there is one"
    assert leave is not None, "reading a block's output has seen that there is one"
    if driver.plan.shape.lists and entry.shape != leave.shape:
        raise CannotJoin(
            f"{chain_label(ports)}: span: joined needs hidden_states of one shape, but they enter as "
            f"{tuple(entry.shape)} and leave as {tuple(leave.shape)}; use span: stack"
        )


def other_blocks(label: str, unit: Unit, expected: int, at: int) -> SkippedBlock:
    """Return the error of a loop that calls other blocks of a reused unit than of the computed one."""
    first, last = unit.start, unit.stop - 1
    return SkippedBlock(
        f"{label}: blocks {first} to {last} were to be reused as one, as they were computed, up to block {expected}, "
        f"but this time the model's loop calls others of them, such as {at}, or ends before; let `compute` cover the "
        "blocks that some calls skip"
    )


def decided(actions: tuple[Action, ...]) -> ComputeUnit | ReuseUnit:
    """Return the machine's decision over a unit."""
    return next(action for action in actions if isinstance(action, (ComputeUnit, ReuseUnit)))
