"""One attachment: a policy, the transformers that it drives, and the runs that go through them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from types import CodeType
from typing import Any, Literal

import torch
from attrs import define, evolve, field
from torch import nn

from cachedsl.engines import check_runtime
from cachedsl.language.policy import Policy
from cachedsl.lower.compile import check_fit, compile_policy
from cachedsl.matching.adapter import UnsupportedModel
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape
from cachedsl.runtime.errors import ConcurrentRun
from cachedsl.runtime.executor import Executor
from cachedsl.runtime.foreign import refuse_other_caches
from cachedsl.runtime.learn import Learnt
from cachedsl.runtime.listeners import Listeners
from cachedsl.runtime.observation import CallContext, Placed, PlaceState, Rules, Uncached
from cachedsl.runtime.observe import Observer, Read
from cachedsl.runtime.owner import current_owner
from cachedsl.runtime.place import place
from cachedsl.runtime.run import Run
from cachedsl.runtime.watch import findings, uncached_calls
from cachedsl.signals import Ranks
from cachedsl.trace import RunRecord, Trace, WarningRecord

logger = logging.getLogger("cachedsl")

_PLANS = 256
"""Plans that are kept, for policies and step counts that come again."""


@define(eq=False)
class Session:
    """What a policy on one pipeline or bare transformer has in common.

    Attributes:
        policy: the attached policy.
        label: the target's class name, for messages.
        shape: the block lists of the target.
        declared_cfg: what the adapter says of the family.
        scheduler: returns the pipeline's scheduler, which its user may exchange; None for a bare transformer.
        steps: runs of a bare transformer begin by themselves and have this many steps.
        announced: returns the pipeline's own count of the steps of its loop, or None.
        pipeline: the target where it is a pipeline.
        executors: one a transformer.
        learnt: what was learned of transformers that no adapter knows, by component.
        trace: what happened since attaching.
        watchers: see `Cached.watching`.
        ranks: those that must decide alike, where the caller says so.
        find_ranks: returns those that share a transformer, where it is split over processes.
        listeners: see `Cached.on_run`.
    """

    policy: Policy
    label: str
    shape: ModelShape
    declared_cfg: Literal["fused", "separate"]
    scheduler: Callable[[], Any]
    steps: int | None = None
    announced: Callable[[], int | None] = lambda: None
    pipeline: Any = None
    executors: list[Executor] = field(factory=list)
    trace: Trace = field(factory=Trace)
    watchers: list[Callable[[str, str, torch.Tensor], None]] = field(factory=list)
    learnt: dict[str, Learnt] = field(factory=dict)
    ranks: Ranks | None = None
    find_ranks: Callable[[nn.Module], Ranks | None] = lambda module: None
    listeners: Listeners = field(factory=Listeners)
    _active: Run | None = None
    _known: dict[Hashable, Run] = field(factory=dict)
    _between: PlaceState | None = None
    _runs: int = 0
    _plans: dict[tuple[Policy, int | None], Plan] = field(factory=dict)
    _lock: Any = field(factory=Lock)
    _told: set[str] = field(factory=set)

    def ranks_of(self, transformer: nn.Module) -> Ranks | None:
        """Return the ranks that must decide alike over a call of `transformer`; None where this one is alone."""
        return self.find_ranks(transformer) if self.ranks is None else self.ranks

    def admit(self, shape: ModelShape) -> None:
        """Take on a transformer that was learned, as part of `shape`.

        Raises:
            PolicyError: the policy does not fit it; nothing is changed.
        """
        check_fit(self.policy, shape)
        self.shape = shape
        self._plans.clear()
        for run in self.all_runs():
            if run.plan is not None:
                run.plan = self.plan_for(run.num_steps, run.policy)

    def plan_for(self, num_steps: int | None, policy: Policy | None = None) -> Plan:
        if not self.shape.stacks:
            raise UnsupportedModel(
                f"{self.label}: no adapter knows it, and its blocks are learned at its first call; there is no plan "
                "before that"
            )
        key = (policy or self.policy, num_steps)
        plan = self._plans.get(key)
        if plan is None:
            plan = compile_policy(key[0], self.shape, num_steps)
            for oldest in list(self._plans)[: max(0, len(self._plans) - _PLANS + 1)]:
                self._plans.pop(oldest, None)  # a server's thread that checks a request may be here too
            self._plans[key] = plan
        return plan

    @contextmanager
    def using(self, policy: Policy) -> Iterator[None]:
        """Let the runs that begin inside go by another policy.

        Raises:
            PolicyError: it does not fit the model; nothing is changed.
            EngineRefused: its `runtime` asks for what was not done when the first policy was applied.
            ConcurrentRun: a run is going on; it is not disturbed.
        """
        check_fit(policy, self.shape)
        check_runtime(self.policy, policy)
        self.end_open_run()
        if self._active is not None:
            raise ConcurrentRun(f"{self.label}: another policy cannot take over in the middle of a run")
        before, self.policy = self.policy, policy
        try:
            yield
            self.end_open_run()
        except BaseException as error:
            self.fail(type(error).__name__)
            raise
        finally:
            self.policy = before

    @contextmanager
    def run(self, steps: int | None, scheduler: Any = None, id: Hashable = None) -> Iterator[None]:
        """Delimit a run: everything that the transformers do inside, on this thread, belongs to it.

        One that has an `id` goes on where it was left, and is over with its last step, or with `end`.

        Raises:
            ConcurrentRun: a run is going on; it is not disturbed.
            AlreadyAttached: another cache was switched on.
        """
        with self._as_active(lambda: self._known.get(id) if id is not None else None, steps, scheduler, id) as run:
            yield
        if id is None or run.over():
            self._finish(run)

    @contextmanager
    def call_of_pipeline(self, callbacks: frozenset[CodeType], code: CodeType) -> Iterator[None]:
        """Delimit the run that one call of the pipeline is.

        Raises:
            ConcurrentRun: a run is going on; it is not disturbed.
            AlreadyAttached: another cache was switched on.
        """
        with self._as_active(lambda: None, None, self.scheduler(), None) as run:
            run.observer.pipeline, run.observer.announced = self.pipeline, self.announced
            run.observer.callbacks, run.observer.whole = callbacks, code
            yield
        self._finish(run)

    @contextmanager
    def _as_active(
        self,
        known: Callable[[], Run | None],
        steps: int | None,
        scheduler: Any,
        id: Hashable,
    ) -> Iterator[Run]:
        with self._lock:
            self.end_open_run()
            if self._active is not None:
                raise ConcurrentRun(
                    f"{self.label} is already in a run (number {self._active.number}); one attached object runs one "
                    "call at a time: wait for it, or give each thread a pipeline of its own"
                )
            refuse_other_caches(self.pipeline, [executor.transformer for executor in self.executors])
            run = known() or self._new_run(Rules(steps=steps), scheduler, id)
            run.belongs_to(current_owner())
            self._active = run
            if id is not None:
                self._known[id] = run
            if run.tally is not None:
                run.tally.enter()
        try:
            yield run
            if run.tally is not None:
                run.tally.leave()
        except BaseException as error:
            if self._active is run:
                self.fail(type(error).__name__)
                self._active = None
            raise
        if self._active is run:
            self._active = None

    def _new_run(self, rules: Rules, scheduler: Any, id: Hashable = None) -> Run:
        cfg = self.policy.cfg
        rules = evolve(rules, mode=cfg.mode, order=cfg.order, declared=self.declared_cfg)
        run = Run(
            self, self._runs, self.policy, Observer(scheduler), PlaceState(rules), id, tally=self.listeners.tally()
        )
        self._runs += 1
        return run

    def known_run(self, id: Hashable) -> Run | None:
        """Return the run of this `id` that has begun and is not over."""
        return self._known.get(id)

    def end(self, id: Hashable) -> bool:
        """End the run of this `id`, and free what it holds; tell whether there was one.

        Raises:
            ConcurrentRun: it is going on at this moment.
        """
        run = self._known.get(id)
        if run is None:
            return False
        if run is self._active:
            raise ConcurrentRun(f"{self.label}: run {id!r} is going on; leave its `with` first")
        self._finish(run)
        return True

    def takes_calls(self) -> bool:
        """Tell whether a transformer call on this thread is one of a run, and else say so once."""
        run, owner = self._active, current_owner().number
        if run is not None and run.state.rules.owner != owner:
            if run.delimited or run.alive():
                self.tell(
                    "%s was called from another thread than the run in progress, so it ran uncached; give each thread "
                    "a model of its own, or wait for the run's end"
                )
                return False
            self.fail("its thread has ended")
            run = None
        if run is not None:
            return not run.failed
        if self.steps is None and self.scheduler() is None:
            self.tell(
                "%s was called outside a run, so it ran uncached; use `with cached.run(steps=...)`, or attach with "
                "num_inference_steps"
            )
        return self.steps is not None

    def place_call(
        self, component: str, module: nn.Module, context: CallContext | None, read: Read
    ) -> tuple[Run, Placed] | None:
        """Return the run that a transformer call on this thread belongs to, and its place; None where it goes uncached.

        Where nobody delimits runs, the call may begin another one.
        """
        if not self.takes_calls():
            return None
        run = self._active
        if run is None or not run.delimited:
            return self._place_open_call(component, module, context, read)
        placed = run.place(run.observer.observe(run.state, component, module, context, read))
        return None if placed is None else (run, placed)

    def _place_open_call(
        self, component: str, module: nn.Module, context: CallContext | None, read: Read
    ) -> tuple[Run, Placed] | None:
        run, cfg, owner = self._active, self.policy.cfg, current_owner()
        rules = Rules(cfg.mode, cfg.order, self.declared_cfg, self.steps, False, owner.number)
        before = self._between if run is None else run.state
        if before is None or before.rules != rules:
            before = PlaceState(rules)
        call = Observer().observe(before, component, module, context, read)
        state, placement = place(before, call)
        if isinstance(placement, Uncached):
            if run is not None:
                run.state = state
                run.uncached[placement.why] += 1
            else:
                self._between = state
                if not state.doubled:  # else the run has said why it was over so soon
                    self._warn(uncached_calls(self._runs - 1, {placement.why: 1}, self.steps, self.policy), once=True)
            return None
        if run is None or placement.begins == "run":
            if run is not None:
                run.new_noise = state.renewed > before.renewed
            self.end_open_run()
            refuse_other_caches(None, [executor.transformer for executor in self.executors])
            run = self._active = self._new_run(rules, None)
            run.belongs_to(owner)
        run.state = state
        run.begin_call(placement)
        return run, placement

    def tell(self, message: str) -> None:
        """Warn, once for each message."""
        if message not in self._told:
            self._told.add(message)
            logger.warning(message, self.label)

    def call_ended(self, run: Run) -> None:
        """Take note that a transformer call returned; a run that began by itself ends with its last step."""
        if run.tally is not None:
            run.tally.end_call()
        if not run.delimited and run.over():
            self._finish(run)

    def fail(self, reason: str) -> None:
        """Fail the run in progress and forget all it held; the next one starts afresh."""
        run, self._between = self._active, None
        for executor in self.executors:
            executor.abandon()
        if run is not None:
            finished = None if run.failed else run.finished(reason)
            run.fail(reason)
            self._known.pop(run.id, None)
            if not run.delimited:
                self._active = None
            if finished is not None:
                self.listeners.tell(finished)

    def end_open_run(self) -> None:
        """End a run that began by itself and has had fewer calls than steps."""
        run = self._active
        if run is not None and not run.delimited:
            self._finish(run)

    def end_all(self) -> None:
        """End every run that is not going on at this moment."""
        self.end_open_run()
        for run in [one for one in self._known.values() if one is not self._active]:
            self._finish(run)

    def let_go(self) -> None:
        """Let go of the models: the handle of a policy that was removed keeps its trace, and nothing large."""
        self.executors, self.pipeline = [], None
        self.scheduler, self.announced = (lambda: None), (lambda: None)

    def all_runs(self) -> list[Run]:
        """Return the runs that have begun and are not over."""
        active = [] if self._active is None else [self._active]
        return [*active, *(run for run in self._known.values() if run is not self._active)]

    def in_forward(self) -> bool:
        return any(executor.in_forward() for executor in self.executors)

    def _finish(self, run: Run) -> None:
        if self._active is run:
            self._active = None
            self._between = None if run.delimited else run.state
        self._known.pop(run.id, None)
        if run.failed:
            return
        run.end()
        if run.plan is None:  # no call came to us
            if not run.delimited:
                return
            self.trace.append(RunRecord(run.number, run.policy.name, run.state.rules.steps))
        if not self.watchers:
            facts = run.facts()
            for warning in findings(self.trace, facts):
                self._warn(warning)
        finished = run.finished()
        if finished is not None:
            self.listeners.tell(finished)

    def _warn(self, warning: WarningRecord, once: bool = False) -> None:
        """Record and log a warning; `once` where the run has none of its kind yet."""
        if once and any(one.code == warning.code for one in self.trace.warnings(run=warning.run)):
            return
        self.trace.append(warning)
        logger.warning("%s: %s", self.label, warning.message)
