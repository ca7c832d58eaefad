"""One step of one stack whose blocks are in a view: decided before the call, or once the front blocks have run."""

from __future__ import annotations

from typing import Literal

import torch
from attrs import evolve

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
from cachedsl.runtime.asking import StepFacts, check_join, decided, other_blocks
from cachedsl.runtime.chains import Chain
from cachedsl.runtime.driver import Driver
from cachedsl.runtime.features import Changes, Position, UnitFeatures, shapes_of
from cachedsl.runtime.ports import Parts, Ports, chain_label, loop_writes
from cachedsl.runtime.settle import compared, step_record
from cachedsl.runtime.traits import Path
from cachedsl.runtime.views import STREAMS, Site, Span, changes, entered
from cachedsl.signals import StepView, Sums, read, sums_of
from cachedsl.trace import StepRecord, UnitRecord


class Viewed:
    """Tells the machine of one step what happens, and its view what the machine decides.

    Args:
        driver: of the stack and branch.
        ports: of the stack's blocks.
        path: which blocks the loop calls.
        chain: the view; None where the stack's blocks are handed out as they are, for nothing is ever reused.
        at: the step.
        leader: what became of the step's first branch.
        facts: what is known besides.
    """

    def __init__(
        self,
        driver: Driver,
        ports: Ports,
        path: Path,
        chain: Chain | None,
        at: Position,
        leader: Literal["compute", "reuse"] | None,
        facts: StepFacts,
    ) -> None:
        self._driver, self._ports, self._path, self.chain, self._at = driver, ports, path, chain, at
        self._facts = facts
        actions = driver.feed(StepStarted(at.step, leader))
        self._observing = bool(actions) and any(isinstance(action, Observe) for action in actions)
        self._begun = driver.snapshot  # what holds where the loop does not reach the unit after all
        self._decision: ComputeUnit | ReuseUnit | None = None
        self._value: float | None = None
        self._now: object = None
        self._extra = 0
        self._replayed: Span | None = None

    @property
    def unit(self) -> Unit:
        return self._driver.plan.units[0]

    @property
    def features(self) -> UnitFeatures:
        return self._driver.features[0]

    @property
    def span(self) -> Span:
        assert self.chain is not None, "only a view has one"
        return self.chain.span

    @property
    def trying(self) -> bool:
        """Whether the call runs as a reused step that is not known to be one."""
        return self.chain is not None and self._decision is None

    @property
    def waits(self) -> bool:
        """Whether the step is decided by what is measured within the call."""
        return self.trying and self._driver.snapshot.verdict == "open" and not self._driver.known_before_call

    def can_trace(self) -> bool:
        """Whether the step can be in a graph: what stands in is known before the call, if need be on trial."""
        return self.chain is None or not self._driver.needs_probe

    def before_call(self) -> Sums | float | None:
        """Decide what can be decided before the call.

        Returns:
            What must be measured for it; the answer goes to `measured`. None where nothing must, or where it can only
            be known inside the call.
        """
        if self.chain is None:
            return None
        span, meter = self.span, self.features.meter
        span.clear()
        span.adds = self.features.adds
        span.copies_entry = self._ports[self._path.units[0].first].traits.writes is not False
        if self._driver.snapshot.verdict != "reuse":
            span.copies_left = loop_writes(self._ports) is True
        if meter is not None and not self._driver.known_before_call:
            span.meter = meter
        elif meter is not None:
            facts, nothing = self._facts, torch.empty(0)
            seen = StepView(self._at.step, nothing, model_input=facts.model_input, mixing=facts.mixing)
            self._now = meter.look(seen)
        if self._driver.snapshot.verdict == "open" and not self._driver.known_before_call:
            return None
        actions = self._driver.feed(UnitReached(0, self.features.distrusted))
        if _measures(actions):
            return self.sums()
        self._decide(decided(actions))
        return None

    def measured(self, value: float) -> None:
        """Take the number that was asked for."""
        actions = self._driver.feed(UnitMeasured(0, value))
        self._value = compared(self._driver.plan, self._driver.snapshot, self.unit, value)
        self._decide(decided(actions))

    def sums(self) -> Sums | float:
        """Return what the value of this step is made of, once its tap has been seen."""
        assert self.features.meter is not None, "only what has a signal is measured"
        return sums_of(self.features.meter, self._tap())

    def _tap(self) -> object:
        span = self._replayed or self.span
        return span.now if span.meter is not None else self._now

    def prepare(self, inside: bool) -> None:
        """Make the view ready for the call; `inside` tells that what is open can be decided within it."""
        if self.chain is None:
            return
        self.span.reach = self._reach if inside else None
        if inside and self.trying:
            self.span.reuse = False
        elif self.trying:
            self._stand_by()

    def settle_open(self, value: float) -> bool:
        """Decide a step that was run as a reused one on trial, by `value`, what it measured itself.

        Returns:
            Whether it was run as it was decided.
        """
        actions = self._driver.feed(UnitReached(0, self.features.distrusted))
        if _measures(actions):
            actions = self._driver.feed(UnitMeasured(0, value))
            self._value = compared(self._driver.plan, self._driver.snapshot, self.unit, value)
        self._decision = decided(actions)
        return isinstance(self._decision, ReuseUnit)

    def again(self) -> None:
        """Make the view ready to run once more: what was computed already is handed out as it was."""
        if self.chain is None:
            self._extra += self._path.blocks
            return
        span = self.span
        self._extra += self._path.outside + span.ran
        computed = isinstance(self._decision, ComputeUnit)
        if computed and span.changes and self._replayed is None:
            self._replayed = evolve(span)
            known = self._changes(span, span.changes, self.chain.sites[span.last])
            span.predicted = tuple(known.moved.get(stream) for stream in STREAMS)
            span.values = tuple(known.made.get(stream) for stream in STREAMS)
        span.reuse = not computed or self._replayed is not None
        span.forget()

    def _reach(self, entry: Parts) -> None:
        """Decide, or see to it that what was decided still holds: before the first block, in plain Python."""
        features, span = self.features, self.span
        changed = features.shape_changed(dict(zip(self._inputs(), entry, strict=True))) or span.front_written
        if self._decision is not None and not changed:
            if span.reuse and not span.predicted:
                self._stand_by()
            return
        self._driver.restore(self._begun)
        self._value = None
        actions = self._driver.feed(UnitReached(0, changed))
        if _measures(actions):
            self.measured(*read([self.sums()]))
        else:
            self._decide(decided(actions))

    def _inputs(self) -> tuple[Stream, ...]:
        return self._ports[self._path.units[0].first].declared.pattern.inputs

    def _decide(self, decision: ComputeUnit | ReuseUnit) -> None:
        self._decision = decision
        self.span.reuse = isinstance(decision, ReuseUnit)
        if not self.span.reuse:
            self.span.copies_left = loop_writes(self._ports) is True
        if self.span.reuse and (self.span.front_exit is not None or not self._driver.needs_probe):
            self._stand_by()  # else once the front blocks have shown what they add

    def _stand_by(self) -> None:
        """Predict what stands in for the unit."""
        span, features = self.span, self.features
        span.reuse = True
        predicted = features.predicted(self._at, self._probe(span) if self._driver.needs_probe else None)
        span.predicted = tuple(predicted.get(stream) for stream in STREAMS)
        span.values = tuple(features.values.get(stream) for stream in STREAMS)

    def _probe(self, span: Span) -> torch.Tensor:
        """Return what the front blocks added."""
        assert span.front_exit is not None, "the front blocks run before the first unit"
        assert span.front_entry is not None, "the checks have seen that there is a front block"
        return (span.front_exit - span.front_entry).detach()

    def end(self, run: int, branch: str, passage: int, loop: int) -> StepRecord:
        """End the step and return what became of it.

        Raises:
            SkippedBlock: the loop left a reused unit before the block that its anchor ended with.
        """
        if self.chain is None:
            records, blocks = self._bare_records(), self._path.blocks
        else:
            records, blocks = self._records(self.chain), self._path.outside + self.span.ran
            if records and self._observing and self.features.meter is not None:
                computed = records[0].outcome == "computed"
                self._driver.observe_later(self.features.meter, self._tap(), computed)
            self.chain.end(bool(records) and records[0].outcome == "reused")
            self.span.clear()
        self._driver.feed(StepEnded())
        return step_record(
            self._driver.plan,
            records,
            run=run,
            branch=branch,
            step=self._at.step,
            passage=passage,
            loop=loop,
            blocks_run=self._extra + blocks,
        )

    def _bare_records(self) -> list[UnitRecord]:
        records = []
        for unit in self._path.units:
            decision = decided(self._driver.feed(UnitReached(unit.unit)))
            assert isinstance(decision, ComputeUnit), "nothing is ever reused"
            self._driver.feed(UnitDone(unit.unit))
            records.append(UnitRecord(unit.unit, "computed", decision.reason))
        return records

    def _records(self, chain: Chain) -> list[UnitRecord]:
        span, decision = self._replayed or chain.span, self._decision
        if span.last < 0 or decision is None:
            self._driver.restore(self._begun)
            return []
        reused = isinstance(decision, ReuseUnit)
        if reused and not span.stood:
            raise other_blocks(chain_label(self._ports), self.unit, self.features.exit_index, span.last)
        actions = self._driver.feed(UnitDone(0))
        if any(isinstance(action, StoreAnchor) for action in actions):
            self._store(chain, span)
        return [UnitRecord(0, "reused" if reused else "computed", decision.reason, self._value)]

    def _changes(self, span: Span, found: Parts, last: Site) -> Changes:
        """Part what was added to streams from what came out in another shape, or out of nothing."""
        result = Changes({}, {})
        for place, stream, change in zip(last.from_entry, last.streams, found, strict=True):
            before = entered(span, place)
            if change is None or before is None or before.shape != change.shape:
                result.made[STREAMS[stream]] = change
            else:
                result.moved[STREAMS[stream]] = change
        return result

    def _store(self, chain: Chain, span: Span) -> None:
        """Keep what the unit was computed to as its anchor, and learn of blocks that have begun to write."""
        features, last = self.features, chain.sites[span.last]
        entry = dict(zip(self._inputs(), span.entry, strict=True))
        result = self._changes(span, span.changes if last.ends else changes(last, span.left), last)
        left = result.moved.get("hidden", result.made.get("hidden"))
        check_join(self._driver, self._ports, entry["hidden"] if span.joined is None else span.joined, left)
        probe = self._probe(span) if self._driver.needs_probe else None
        features.keep(self._at, shapes_of(entry), result, probe, span.last)
        if span.written:
            self._ports[self._path.units[0].first].note_writes(True)
        if span.front_written:
            self._ports[0].note_writes(True)
        if span.written or span.front_written:
            features.distrust()
        if features.meter is not None:
            features.meter.keep(self._tap())


def _measures(actions: tuple[Action, ...]) -> bool:
    return any(isinstance(action, Measure) for action in actions)
