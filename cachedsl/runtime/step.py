"""One pass over one stack in one forward: the machine asked, blocks run or stood in for, the outcome recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from attrs import frozen
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
from cachedsl.runtime.block_io import BlockIO, ChainIO, Streams
from cachedsl.runtime.driver import Driver
from cachedsl.runtime.errors import CannotJoin, SkippedBlock
from cachedsl.runtime.features import Position
from cachedsl.signals import Meter, ModelInput, StepView
from cachedsl.trace import StepRecord, UnitRecord


@frozen
class StepFacts:
    """What a step knows beyond its blocks' calls; see `StepView`."""

    model_input: ModelInput | None = None
    mixing: Callable[[], tuple[float, float]] = lambda: (1.0, 0.0)


@frozen
class Held:
    """Streams as they entered block `index`, to be compared with what its unit returns.

    Attributes:
        index: the block.
        given: the tensors that came, and their versions.
        streams: the same to go by, copies where the blocks may write into them.
        copied: whether they are copies.
    """

    index: int
    given: Mapping[Stream, tuple[torch.Tensor, int | None]]
    streams: Streams
    copied: bool


class StackStep:
    """Answers the calls of one stack's blocks, in the order in which the model's loop makes them."""

    def __init__(
        self,
        driver: Driver,
        io: BlockIO | ChainIO,
        at: Position,
        leader: Literal["compute", "reuse"] | None = None,
        facts: StepFacts | None = None,
    ) -> None:
        self._driver = driver
        self._plan = driver.plan
        self._io = io
        self._at = at
        self._blocks_run = 0
        self._exact = self._plan.rules.exact  # nothing will ever be reused, so nothing need be held
        self._front: Held | None = None
        self._probed: torch.Tensor | None = None
        self._held: Held | None = None
        self._spoilt = False
        self._front_exit: torch.Tensor | None = None
        self._unit: Unit | None = None
        self._decision: ComputeUnit | ReuseUnit | None = None
        self._entry: Streams = {}
        self._left: Streams = {}
        self._left_as: dict[Stream, tuple[torch.Tensor, int | None]] = {}
        self._added: dict[Stream, torch.Tensor] = {}
        self._inner: dict[int, Streams] = {}
        self._modulated: torch.Tensor | None = None
        self._facts = facts or StepFacts()
        self._now: Any = None
        self._middle: tuple[Meter, Any] | None = None
        self._records: list[UnitRecord] = []
        self._units = {index: unit for unit in self._plan.units for index in range(unit.start, unit.stop)}
        self._passed: set[int] = set()
        self._last = -1
        self._observing = any(isinstance(action, Observe) for action in driver.feed(StepStarted(at.step, leader)))

    def call_block(self, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run block `index`, or return what stands in for it, in the block's own output form."""
        if index == 0 and self._plan.signal is not None and self._plan.signal.source == "modulated_input":
            self._modulated = self._io.modulated_input(index, block, args, kwargs)
        if self._unit is not None and index >= self._unit.stop:
            self._leave_early()
        unit = self._units.get(index)
        if unit is not None and unit.index not in self._passed:  # its first block, or the first that the loop calls
            self._passed.add(unit.index)
            self._reach(unit, index, block, args, kwargs)
        elif unit is not None and self._unit is None and unit.index in self._driver.snapshot.reused_units:
            raise self._other_blocks(unit, index)
        if isinstance(self._decision, ReuseUnit):
            return self._stand_in(index, block, args, kwargs)
        return self._run(index, block, args, kwargs)

    def end(self, run: int, branch: str, passage: int) -> StepRecord:
        """End the step and return what became of it; `passage` counts how often the list was entered before.

        Raises:
            SkippedBlock: the loop left a reused unit before the block that its anchor ended with.
        """
        if self._unit is not None:
            self._leave_early()
        self._driver.feed(StepEnded())
        self._io.forget_outputs()
        units = tuple(self._records)
        middle = [u for u in units if self._plan.units[u.unit].kind != "back"]
        reused = any(unit.outcome == "reused" for unit in middle)
        if self._observing and self._middle is not None:
            self._driver.observe_later(*self._middle, computed=not reused)
        telling = next((u for u in middle if u.outcome == "reused"), middle[0] if middle else None)
        return StepRecord(
            run=run,
            transformer=self._plan.shape.transformer,
            stack=self._plan.name if passage == 0 else f"{self._plan.name}#{passage + 1}",
            branch=branch,
            step=self._at.step,
            outcome="reused" if reused else "computed",
            reason=telling.reason if telling else "no_unit",
            value=telling.value if telling else None,
            blocks_run=self._blocks_run,
            blocks=self._plan.shape.blocks,
            units=units,
        )

    def _leave_early(self) -> None:
        """Leave a unit whose last blocks the loop skipped: what the last one that ran returned is the unit's result."""
        assert self._unit is not None
        if not isinstance(self._decision, ReuseUnit):
            self._finish(self._left)
            return
        raise self._other_blocks(self._unit, self._last)

    def _other_blocks(self, unit: Unit, at: int) -> SkippedBlock:
        first, last = unit.start, unit.stop - 1
        expected = self._driver.features[unit.index].exit_index
        return SkippedBlock(
            f"{self._io.label}: blocks {first} to {last} were to be reused as one, as they were computed, up to block "
            f"{expected}, but this time the model's loop calls others of them, such as {at}, or ends before; let "
            "`compute` cover the blocks that some calls skip"
        )

    def _reach(
        self, unit: Unit, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Let the machine decide over `unit`, the first of whose blocks that the loop calls is about to be called."""
        features = self._driver.features[unit.index]
        self._unit = unit
        self._entry = self._io.read(index, block, args, kwargs)
        if self._probed is None:
            self._probed = self._probe()
        self._now = None if features.meter is None else features.meter.look(self._view())
        if features.meter is not None and unit.kind == "middle":
            self._middle = (features.meter, self._now)
        changed = features.shape_changed(self._entry) or self._spoilt
        value = None
        actions = self._driver.feed(UnitReached(unit.index, changed))
        if any(isinstance(action, Measure) for action in actions):
            assert features.meter is not None, "only what has a signal is measured"
            measured = features.meter.measure(self._now)
            actions = self._driver.feed(UnitMeasured(unit.index, measured))
            value = self._compared(unit, measured)
        self._decision = _decision(actions)
        if isinstance(self._decision, ComputeUnit):
            self._held = self._hold(index, self._entry)
            self._entry = self._held.streams
        outcome: Literal["computed", "reused"] = "reused" if isinstance(self._decision, ReuseUnit) else "computed"
        self._records.append(UnitRecord(unit.index, outcome, self._decision.reason, value))

    def _check_join(self, before: Streams, after: Streams) -> None:
        """Refuse a chain of lists through which `hidden_states` do not go in one shape."""
        entry, leave = before["hidden"], after["hidden"]
        assert entry is not None, "reading a block's arguments has seen that there is one"
        assert leave is not None, "reading a block's output has seen that there is one"
        if self._plan.shape.lists and entry.shape != leave.shape:
            raise CannotJoin(
                f"{self._io.label}: span: joined needs hidden_states of one shape, but they enter as "
                f"{tuple(entry.shape)} and leave as {tuple(leave.shape)}; use span: stack"
            )

    def _compared(self, unit: Unit, measured: float) -> float:
        """Return what the machine held against the threshold: the value, or the sum that it went into."""
        signal = self._plan.signal
        sums = unit.kind == "middle" and signal is not None and signal.accumulate != "none" and math.isfinite(measured)
        return self._driver.snapshot.drift if sums else measured

    def _view(self) -> StepView:
        entry = self._entry["hidden"]
        assert entry is not None, "reading a block's arguments has seen that there is one"
        return StepView(
            self._at.step,
            entry,
            None if self._front is None else self._front.streams["hidden"],
            self._front_exit,
            self._modulated,
            self._facts.model_input,
            self._facts.mixing,
        )

    def _probe(self) -> torch.Tensor | None:
        """Return what the front blocks added, where the predictor goes by it."""
        if not self._plan.rules.predict.taps_front or self._exact:
            return None
        assert self._front is not None, "the checks have seen that there is a front block"
        assert self._front_exit is not None, "the front blocks run before the first unit"
        return (self._front_exit - self._front.streams["hidden"]).detach()  # type: ignore[operator]

    def _hold(self, index: int, streams: Streams) -> Held:
        """Keep what enters block `index`, copied unless it has been seen that nothing writes into it."""
        copied = not self._exact and self._io.writes_from(index) is not False
        given = {name: (t, version_of(t)) for name, t in streams.items() if t is not None}
        safe = {name: None if t is None else t.detach().clone() for name, t in streams.items()} if copied else streams
        return Held(index, given, safe, copied)

    def _let_go(self, held: Held) -> None:
        """Learn whether what `held` holds was written into; where that comes as a surprise, this step is no anchor."""
        if self._exact or self._io.writes_from(held.index):
            return
        written = any(_written(now, version, held.streams[name]) for name, (now, version) in held.given.items())
        self._io.note_writes(held.index, written)
        self._spoilt |= written and not held.copied

    def _run(self, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        streams = self._io.read(index, block, args, kwargs)
        self._io.check_chain(index, block, streams)
        if self._unit is not None and self._last >= self._unit.start and self._io.applies_between(index):
            self._note_work(streams)
        if index == 0 and self._plan.taps_front:
            self._front = self._hold(0, {"hidden": streams["hidden"]})
        output = block(*args, **kwargs)
        self._blocks_run += 1
        after = self._io.unwrap(index, block, output)
        if index == self._plan.front - 1 and self._plan.taps_front:
            self._front_exit = after["hidden"]
            if self._front is not None:
                self._let_go(self._front)
        self._leave(index, after)
        if self._unit is not None and index < self._unit.stop - 1 and self._io.keeps(index):
            self._inner[index] = added(self._entry, after)
        if self._unit is not None and index == self._unit.stop - 1:
            self._finish(after)
        return output

    def _leave(self, index: int, after: Streams) -> None:
        """Keep what block `index` returned; a copy where the loop may write into it before the next block."""
        self._left, self._last = after, index
        if self._unit is None or index == self._unit.stop - 1 or self._io.in_place is False:
            return
        if self._io.applies_between(index):
            self._left_as = {name: (t, version_of(t)) for name, t in after.items() if t is not None}
            self._left = {name: None if t is None else t.clone() for name, t in after.items()}

    def _note_work(self, streams: Streams) -> None:
        """Sum up what the loop itself did to a stream between two blocks of a computed unit, a ControlNet's residuals.

        On a reused step the loop does the like to what stands in, so it is no part of what the blocks add.
        """
        for name, now in streams.items():
            before = self._left.get(name)
            if now is None or before is None or now is before or now.shape != before.shape:
                continue
            same, version = self._left_as.get(name, (None, None))
            if now is same:
                if version == version_of(now) if version is not None else torch.equal(now, before):
                    continue
                self._io.in_place = True
            added, work = self._added.get(name), now - before
            self._added[name] = work if added is None else added + work

    def _stand_in(self, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        assert self._unit is not None
        features = self._driver.features[self._unit.index]
        self._last = index
        if index > features.exit_index or not self._io.knows(index):
            raise self._other_blocks(self._unit, index)
        if index != features.exit_index:
            streams: Streams = {**features.values, **self._io.read(index, block, args, kwargs)}
            if self._io.keeps(index):
                streams |= features.inside(index, self._entry)
        else:
            worked = self._io.applies_between(index)
            entry = self._io.read(index, block, args, kwargs) if worked else self._entry
            streams = features.approximate(self._at, entry, self._probed)
            self._finish(None)
        return self._io.wrap(index, streams)

    def _finish(self, after: Streams | None) -> None:
        """Leave the unit; `after` is what it returned where it was computed."""
        assert self._unit is not None
        if self._held is not None:
            self._let_go(self._held)
        for action in self._driver.feed(UnitDone(self._unit.index)):
            if isinstance(action, StoreAnchor):
                assert after is not None, "only a computed unit has an anchor to store"
                self._check_join(self._entry, after)
                if self._exact:
                    continue
                features = self._driver.features[self._unit.index]
                features.store(self._at, self._entered(), after, self._probed, self._last)
                features.inner = self._inner
                if self._spoilt:
                    features.distrust()
                if features.meter is not None:
                    features.meter.keep(self._now)
                if self._io.in_place is None and self._last > self._plan.units[action.unit].start:
                    self._io.in_place = False
        self._unit, self._decision, self._entry, self._now, self._added = None, None, {}, None, {}
        self._inner, self._held = {}, None

    def _entered(self) -> Streams:
        """Return what entered the unit, with what the loop did to it on the way."""
        worked = dict(self._entry)
        for name, work in self._added.items():
            before = self._entry.get(name)
            if before is not None and before.shape == work.shape:
                worked[name] = before + work
        return worked


def added(entry: Streams, after: Streams) -> Streams:
    """Return what was added to every stream, or the stream itself where it did not enter in its shape."""
    changes: Streams = {}
    for name, now in after.items():
        before = entry.get(name)
        moves = now is not None and before is not None and before.shape == now.shape
        if now is None:
            changes[name] = None
        else:
            changes[name] = (now - before).detach() if moves else now.detach().clone()  # type: ignore[operator]
    return changes


def version_of(tensor: torch.Tensor) -> int | None:
    """Return what goes up with every write into `tensor`; None in inference mode, which does not count them."""
    return None if tensor.is_inference() else tensor._version


def _written(now: torch.Tensor, version: int | None, before: torch.Tensor | None) -> bool:
    """Tell whether a tensor was written into since it had `version`; without one, by `before`, where it is a copy."""
    if version is not None:
        return version != now._version
    return before is not now and before is not None and not torch.equal(now, before)


def _decision(actions: tuple[Action, ...]) -> ComputeUnit | ReuseUnit:
    return next(action for action in actions if isinstance(action, (ComputeUnit, ReuseUnit)))
