"""One run: the machines of every stack and branch, from the first transformer call to the end of the pipeline's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from attrs import define, evolve, field

from cachedsl.machine.events import Failed, RunEnded
from cachedsl.machine.plan import Plan
from cachedsl.runtime.clock import Call, CallContext, Clock
from cachedsl.runtime.decide import Step
from cachedsl.runtime.driver import Driver
from cachedsl.runtime.features import Position
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
        clock: places the calls.
        explicit: begun by `cached.run` or by the pipeline's call, and ended there; else ended by its last step.
        thread: calls from other threads are not part of this run.
        plan: compiled at the first call of a loop, when the step count is known.
        loop: counts the denoising loops of this run, from 0.
    """

    session: Session
    number: int
    clock: Clock
    explicit: bool
    thread: int = field(factory=threading.get_ident)
    plan: Plan | None = None
    num_steps: int | None = None
    failed: bool = False
    loop: int = 0
    drivers: dict[MachineKey, Driver] = field(factory=dict)
    _leaders: dict[tuple[str, str, int], tuple[Call, Outcome]] = field(factory=dict)

    def alive(self) -> bool:
        """Tell whether the thread that began it still runs."""
        return any(thread.ident == self.thread for thread in threading.enumerate())

    def begin_call(self, context: CallContext | None, component: str) -> Call:
        """Place a transformer call; the first one of a loop fixes the step count and compiles the plan."""
        if self.clock.begins_anew(context) and self.plan is not None:
            self.end()
            self._leaders.clear()
            self.plan, self.loop = None, self.loop + 1
        if self.plan is None:
            self.num_steps = self.clock.num_steps(context)
            self.plan = self.session.plan_for(self.num_steps)
            self.session.trace.append(RunRecord(self.number, self.session.policy.name, self.num_steps, self.loop))
        call = self.clock.locate(context, component)
        steps = self.clock.recount()
        if steps is not None and steps != self.num_steps:
            self._replan(steps)
        return call

    def _replan(self, steps: int) -> None:
        """Go on with the plan of another step count."""
        self.plan, self.num_steps = self.session.plan_for(steps), steps
        for (component, path, _, _), driver in self.drivers.items():
            driver.replan(self.plan.stack(component, path), steps)

    def start_step(
        self, component: str, path: str, passage: int, call: Call
    ) -> tuple[Driver, Position, Outcome | None]:
        """Return the machine of one stack in one branch, where the step is, and what became of its first branch."""
        assert self.plan is not None
        key = (component, path, passage, call.branch)
        if key not in self.drivers:
            self.drivers[key] = Driver(self.plan.stack(component, path), self.num_steps, call.branch)
        driver = self.drivers[key]
        at = Position(call.step, self.clock.position(call.step, driver.clock))
        return driver, at, self._leader(key, call)

    def forward_ended(self, component: str, call: Call, output: Callable[[], torch.Tensor]) -> None:
        """Let the machines that observed this call take what it returned."""
        for (where, _, _, branch), driver in self.drivers.items():
            if where == component and branch == call.branch:
                driver.forward_ended(output)

    def end_step(self, component: str, path: str, passage: int, call: Call, step: Step) -> Driver:
        """End a step, record it, and let it lead the step's later branches; returns its machine."""
        record = evolve(step.end(self.number, call.branch, passage), loop=self.loop)
        self.session.trace.append(record)
        driver = self.drivers[component, path, passage, call.branch]
        self._show(driver, component, call)
        leader = self._leaders.get((component, path, passage))
        if leader is None or leader[0].step != call.step:
            verdict: Outcome = "reuse" if record.outcome == "reused" else "compute"
            self._leaders[component, path, passage] = (call, verdict)
        return driver

    def _show(self, driver: Driver, component: str, call: Call) -> None:
        residual = driver.features[0].residuals.get("hidden") if driver.features else None
        if self.session.watchers and residual is not None and 0 in driver.snapshot.computed_units:
            for watch in self.session.watchers:
                watch(component, call.branch, driver.features[0].newest["hidden"])

    def _leader(self, key: MachineKey, call: Call) -> Outcome | None:
        if self.session.policy.cfg.decision != "follow_first":
            return None
        first = self._leaders.get(key[:3])
        if first is None or first[0].step != call.step or first[0].branch == call.branch:
            return None
        return first[1]

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
