"""One run: the machines of every stack and branch, and the state by which its calls are placed."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Literal

import torch
from attrs import define, evolve, field

from cachedsl.language.policy import Policy
from cachedsl.machine.events import Failed, RunEnded
from cachedsl.plan.ir import Plan
from cachedsl.runtime.decide import Step
from cachedsl.runtime.driver import Driver
from cachedsl.runtime.features import Position
from cachedsl.runtime.finished import FinishedRun, Tally
from cachedsl.runtime.observation import Observation, Placed, PlaceState
from cachedsl.runtime.observe import Observer
from cachedsl.runtime.outputs import Outputs
from cachedsl.runtime.owner import Owner
from cachedsl.runtime.place import is_over, place
from cachedsl.runtime.timeline import Timeline
from cachedsl.runtime.watch import RunFacts
from cachedsl.trace import RunRecord

if TYPE_CHECKING:
    from cachedsl.runtime.session import Session

MachineKey = tuple[str, str, int, str]
Outcome = Literal["compute", "reuse"]


@define(eq=False)
class Run:
    """Holds what lives as long as one run.

    Attributes:
        session: the attachment.
        number: counts the runs since attaching, from 0.
        policy: the one that it goes by from its first call to its last.
        observer: looks at its calls.
        state: what is known of its calls so far, to place the next one by.
        id: the caller's own name of it, None where it has none.
        plan: compiled at the first call of a loop, when the step count is known.
        loop: counts the denoising loops of this run, from 0.
        uncached: why calls that were made in it ran uncached, and how many.
        alternated: calls were told apart by their order alone.
        new_noise: the next call had a latent of new noise, which ended the run.
        tally: counts and times it, None where nobody wants to hear of it.
        changed_at: the steps before which somebody changed the weights of a transformer.
    """

    session: Session
    number: int
    policy: Policy
    observer: Observer
    state: PlaceState
    id: Hashable = None
    plan: Plan | None = None
    num_steps: int | None = None
    failed: bool = False
    loop: int = 0
    uncached: Counter[str] = field(factory=Counter)
    alternated: bool = False
    new_noise: bool = False
    tally: Tally | None = None
    timeline: Timeline = field(factory=Timeline)
    outputs: Outputs = field(factory=Outputs)
    drivers: dict[MachineKey, Driver] = field(factory=dict)
    changed_at: list[int] = field(factory=list)
    _weights: dict[tuple[str, str], object] = field(factory=dict)
    _owner: Callable[[], Owner | None] = lambda: None
    _full: int | None = None
    _leaders: dict[tuple[str, str, int], tuple[Placed, Outcome]] = field(factory=dict)

    @property
    def delimited(self) -> bool:
        """Begun by `cached.run` or by the pipeline's call, and ended there; else its calls tell."""
        return self.state.rules.delimited

    def belongs_to(self, owner: Owner) -> None:
        """Take the calls of this thread from now on."""
        self._owner = weakref.ref(owner)
        self.state = self.state._replace(rules=evolve(self.state.rules, owner=owner.number))

    def alive(self) -> bool:
        """Tell whether the thread that it belongs to still runs."""
        owner = self._owner()
        return owner is not None and owner.alive()

    def over(self) -> bool:
        return is_over(self.state)

    def place(self, call: Observation) -> Placed | None:
        """Place a call of a run that somebody delimits; None where it runs uncached."""
        self.state, placement = place(self.state, call)
        if isinstance(placement, Placed):
            self.begin_call(placement)
            return placement
        self.uncached[placement.why] += 1
        return None

    def begin_call(self, placed: Placed) -> None:
        """Take note of a call's place; the first one of a loop compiles the plan for its step count."""
        if placed.begins == "loop" and self.plan is not None:
            self.end()
            self._leaders.clear()
            self.outputs.clear()
            self.changed_at.clear()
            self.plan, self.loop = None, self.loop + 1
        self.alternated = placed.how == "alternated" and (self.alternated or placed.begins != "nothing")
        if self.plan is None:
            self.plan = self.session.plan_for(placed.num_steps, self.policy)
            self._note(placed)
            going = [run.number for run in self.session.all_runs()]
            self.session.trace.append(RunRecord(self.number, self.policy.name, self.num_steps, self.loop), going)
        elif (placed.num_steps, placed.offset) != (self.num_steps, self.timeline.offset):
            self._replan(placed)
        if self.tally is not None:
            self.tally.begin_call(self.loop, placed.step)

    def _note(self, placed: Placed) -> None:
        self.num_steps, self._full = placed.num_steps, placed.full
        self.timeline = Timeline(self.observer.scheduler, placed.offset)

    def _replan(self, placed: Placed) -> None:
        """Go on with the plan of another step count; at another place in the schedule, with machines of their own."""
        self.plan = self.session.plan_for(placed.num_steps, self.policy)
        if placed.offset != self.timeline.offset:
            self.end()
        self._note(placed)
        for (component, path, _, _), driver in self.drivers.items():
            assert placed.num_steps is not None
            driver.replan(self.plan.stack(component, path), placed.num_steps)

    def computes_with(self, component: str, call: Placed, weights: object) -> None:
        """Take note of what a transformer computes with; what other weights have computed is not reused."""
        before = self._weights.get((component, call.branch), weights)
        self._weights[component, call.branch] = weights
        if weights == before:
            return
        called = [d for (where, _, _, branch), d in self.drivers.items() if (where, branch) == (component, call.branch)]
        held = [features for driver in called for features in driver.features if features.shapes]
        for features in held:
            features.distrust()
        if held and call.step not in self.changed_at:
            self.changed_at.append(call.step)

    def start_step(
        self, component: str, path: str, passage: int, call: Placed
    ) -> tuple[Driver, Position, Outcome | None]:
        """Return the machine of one stack in one branch, where the step is, and what became of its first branch."""
        assert self.plan is not None
        key = (component, path, passage, call.branch)
        if key not in self.drivers:
            stack = self.plan.stack(component, path)
            self.drivers[key] = Driver(stack, self.num_steps, call.branch, self.timeline.offset, self._full)
        driver = self.drivers[key]
        at = Position(call.step, self.timeline.position(call.step, driver.clock))
        return driver, at, self._leader(key, call)

    def forward_ended(self, component: str, call: Placed, output: Callable[[], torch.Tensor]) -> None:
        """Let the machines that observed this call take what it returned."""
        self.outputs.note(call, output)
        for (where, _, _, branch), driver in self.drivers.items():
            if where == component and branch == call.branch:
                driver.forward_ended(output)

    def end_step(self, component: str, path: str, passage: int, call: Placed, step: Step) -> Driver:
        """End a step, record it, and let it lead the step's later branches; returns its machine."""
        record = step.end(self.number, call.branch, passage, self.loop)
        self.session.trace.append(record)
        if self.tally is not None:
            self.tally.add(record)
        driver = self.drivers[component, path, passage, call.branch]
        self._show(driver, component, call)
        leader = self._leaders.get((component, path, passage))
        if leader is None or leader[0].step != call.step:
            verdict: Outcome = "reuse" if record.outcome == "reused" else "compute"
            self._leaders[component, path, passage] = (call, verdict)
        return driver

    def _show(self, driver: Driver, component: str, call: Placed) -> None:
        residual = driver.features[0].residuals.get("hidden") if driver.features else None
        if self.session.watchers and residual is not None and 0 in driver.snapshot.computed_units:
            for watch in self.session.watchers:
                watch(component, call.branch, driver.features[0].newest["hidden"])

    def _leader(self, key: MachineKey, call: Placed) -> Outcome | None:
        if self.policy.cfg.decision != "follow_first":
            return None
        first = self._leaders.get(key[:3])
        if first is None or first[0].step != call.step or first[0].branch == call.branch:
            return None
        return first[1]

    def facts(self) -> RunFacts:
        """Return what the warnings about the run go by, beside its trace."""
        told = self.state.rules.steps is not None
        return RunFacts(
            self.number,
            self.plan,
            self.policy,
            dict(self.uncached),
            self.alternated,
            self.state.doubled,
            told,
            self.new_noise,
            not_finite=self.outputs.not_finite(),
            changed_at=tuple(self.changed_at),
        )

    def finished(self, reason: str | None = None) -> FinishedRun | None:
        """Return what the run came to, with the reason where it failed; None where nobody wants to hear of it."""
        if self.tally is None:
            return None
        warnings = Counter(warning.code for warning in self.session.trace.warnings(run=self.number))
        return FinishedRun(
            self.number,
            self.id,
            self.policy.name,
            self.session.label,
            "failed" if reason is not None else "completed" if self._complete() else "aborted",
            reason,
            self.num_steps if self.plan is not None else self.state.rules.steps,
            tuple(self.tally.step_seconds),
            self.tally.blocks_computed,
            self.tally.blocks_total,
            self.tally.seconds,
            dict(warnings),
        )

    def _complete(self) -> bool:
        """Tell whether the last step was taken; one that a pipeline's call or a `with` ended may leave branches out."""
        if self.id is not None or not self.delimited:
            return self.over()
        count = self.state.num_steps
        return self.plan is not None and (count is None or self.state.step >= count - 1)

    def end(self) -> None:
        """End every machine and free what they hold."""
        for driver in self.drivers.values():
            driver.feed(RunEnded())
        self.drivers.clear()

    def fail(self, reason: str) -> None:
        """Leave the run after an exception: nothing that it measured or kept survives."""
        self.failed = True
        for driver in self.drivers.values():
            driver.feed(Failed(reason))
        self.drivers.clear()

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return every tensor that the run's machines hold."""
        return tuple(t for driver in self.drivers.values() for t in driver.tensors())
