"""One attachment: a policy, the transformers that it drives, and the runs that go through them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from attrs import define, field

from cachedsl.language.policy import Policy
from cachedsl.lower.compile import check_fit, compile_policy
from cachedsl.matching.adapter import Adapter, UnsupportedModel
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape
from cachedsl.runtime.clock import Clock
from cachedsl.runtime.errors import ConcurrentRun, NotAttached, StillRunning
from cachedsl.runtime.executor import Executor
from cachedsl.runtime.given import Given
from cachedsl.runtime.learn import Learnt
from cachedsl.runtime.run import Run
from cachedsl.runtime.watch import findings
from cachedsl.summary import Summary, summarise
from cachedsl.trace import RunRecord, Trace

logger = logging.getLogger("cachedsl")


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
        executors: one a transformer.
        learnt: what was learned of transformers that no adapter knows, by component.
        trace: what happened since attaching.
        watchers: see `Cached.watching`.
    """

    policy: Policy
    label: str
    shape: ModelShape
    declared_cfg: Literal["fused", "separate"]
    scheduler: Callable[[], Any]
    steps: int | None = None
    announced: Callable[[], int | None] = lambda: None
    executors: list[Executor] = field(factory=list)
    trace: Trace = field(factory=Trace)
    watchers: list[Callable[[str, str, torch.Tensor], None]] = field(factory=list)
    learnt: dict[str, Learnt] = field(factory=dict)
    _run: Run | None = None
    _runs: int = 0
    _plans: dict[tuple[Policy, int | None], Plan] = field(factory=dict)
    _lock: threading.Lock = field(factory=threading.Lock)
    _told: set[str] = field(factory=set)

    def admit(self, shape: ModelShape) -> None:
        """Take on a transformer that was learned, as part of `shape`.

        Raises:
            PolicyError: the policy does not fit it; nothing is changed.
        """
        check_fit(self.policy, shape)
        self.shape = shape
        self._plans.clear()
        if self._run is not None and self._run.plan is not None:
            self._run.plan = self.plan_for(self._run.num_steps)

    def plan_for(self, num_steps: int | None) -> Plan:
        if not self.shape.stacks:
            raise UnsupportedModel(
                f"{self.label}: no adapter knows it, and its blocks are learned at its first call; there is no plan "
                "before that"
            )
        key = (self.policy, num_steps)
        if key not in self._plans:
            self._plans[key] = compile_policy(self.policy, self.shape, num_steps)
        return self._plans[key]

    @contextmanager
    def using(self, policy: Policy) -> Iterator[None]:
        """Let the runs that begin inside go by another policy.

        Raises:
            PolicyError: it does not fit the model; nothing is changed.
            ConcurrentRun: a run is going on; it is not disturbed.
        """
        check_fit(policy, self.shape)
        self.end_open_run()
        if self._run is not None:
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
    def run(self, steps: int | None = None, scheduler: Any = None) -> Iterator[None]:
        """Delimit a run: everything that the transformers do inside, on this thread, belongs to it.

        Raises:
            ConcurrentRun: a run is going on; it is not disturbed.
        """
        run = self._begin(steps, explicit=True, scheduler=scheduler)
        try:
            yield
        except BaseException as error:
            if self._run is run:
                self.fail(type(error).__name__)
                self._run = None
            raise
        self._finish(run)

    def run_for_call(self, read: Callable[[], Given | None] = lambda: None) -> Run | None:
        """Return the run that a transformer call on this thread belongs to, or None where it goes uncached.

        `read` tells what the call was given; where that shows that a run which began by itself is over, or was left,
        another one begins.
        """
        run = self._run
        if run is not None and run.thread != threading.get_ident():
            if run.explicit or run.alive():
                self._tell(
                    "%s was called from another thread than the run in progress, so it ran uncached; give each thread "
                    "a model of its own, or wait for the run's end"
                )
                return None
            self.fail("its thread has ended")
        elif run is not None:
            if run.failed:
                return None
            if not run.clock.heed(read) or run.explicit:
                return run
            self._finish(run)
        if self.steps is not None:
            run = self._begin(self.steps, explicit=False)
            run.clock.heed(read)
            return run
        if self.scheduler() is None:
            self._tell(
                "%s was called outside a run, so it ran uncached; use `with cached.run(steps=...)`, or attach with "
                "num_inference_steps"
            )
        return None

    def _tell(self, message: str) -> None:
        """Warn, once for each message."""
        if message not in self._told:
            self._told.add(message)
            logger.warning(message, self.label)

    def call_ended(self, run: Run) -> None:
        """Take note that a transformer call returned; a run that began by itself ends with its last step."""
        if not run.explicit and run.clock.finished():
            self._finish(run)

    def fail(self, reason: str) -> None:
        """Fail the run in progress and forget all it held; the next one starts afresh."""
        run = self._run
        for executor in self.executors:
            executor.abandon()
        if run is not None:
            run.fail(reason)
            if not run.explicit:
                self._run = None

    def end_open_run(self) -> None:
        """End a run that began by itself and has had fewer calls than steps."""
        run = self._run
        if run is not None and not run.explicit:
            self._finish(run)

    @property
    def current_run(self) -> Run | None:
        return self._run

    def in_forward(self) -> bool:
        return any(executor.conducting() for executor in self.executors)

    def _begin(self, steps: int | None, *, explicit: bool, scheduler: Any = None) -> Run:
        with self._lock:
            if self._run is not None and not self._run.explicit:
                self._finish(self._run)
            if self._run is not None:
                raise ConcurrentRun(
                    f"{self.label} is already in a run (number {self._run.number}); one attached object runs one call "
                    "at a time: wait for it, or give each thread a pipeline of its own"
                )
            if steps is None:
                scheduler = self.scheduler()
            clock = Clock(self.policy.cfg, self.declared_cfg, scheduler, steps, self.announced)
            self._run = Run(self, self._runs, clock, explicit)
            self._runs += 1
            return self._run

    def _finish(self, run: Run) -> None:
        if self._run is not run:
            return
        self._run = None
        if run.failed:
            return
        run.end()
        if run.plan is None:  # no call came to us
            if not run.explicit:
                return
            self.trace.append(RunRecord(run.number, self.policy.name, run.clock.steps))
        for warning in () if self.watchers else findings(self.trace, run.number, run.plan):
            self.trace.append(warning)
            logger.warning("%s: %s", self.label, warning.message)


def check_steps(steps: Any) -> int:
    """Return a step count that can be one.

    Raises:
        ValueError: it cannot.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"the step count of a run: expected a whole number of at least 1, got {steps!r}")
    return steps


class Cached:
    """The handle of an attached policy; `remove` it, or use it as a context manager.

    Attributes:
        policy: the policy that is attached, or that `using` has put in its place.
        trace: what happened, step by step, since attaching.
    """

    def __init__(self, session: Session, detach: Callable[[], None]) -> None:
        self._session = session
        self._detach: Callable[[], None] | None = detach

    @property
    def policy(self) -> Policy:
        return self._session.policy

    @property
    def trace(self) -> Trace:
        return self._session.trace

    @property
    def learnt(self) -> Adapter | None:
        """The adapter that was learned of a model that none knew, ready for `to_yaml`; None before its first call."""
        found = list(self._session.learnt.values())
        if not found:
            return None
        known = {one.class_name: one.transformer for one in found}
        return Adapter(found[0].class_name.lower(), known)

    @property
    def attached(self) -> bool:
        return self._detach is not None

    def plan(self, num_inference_steps: int | None = None) -> Plan:
        """Return the plan of a run of so many steps."""
        return self._session.plan_for(num_inference_steps)

    @contextmanager
    def run(self, steps: int, scheduler: Any = None) -> Iterator[Cached]:
        """Delimit a run of `steps` steps on a bare transformer; buffers are freed when it ends.

        `scheduler`, where given, tells the step of each call, and timesteps and sigmas to predictors that go by them.

        Raises:
            ConcurrentRun: a run is going on; it is not disturbed.
            NotAttached: the handle was removed.
        """
        self._check_attached()
        with self._session.run(check_steps(steps), scheduler):
            yield self

    @contextmanager
    def using(self, policy: Policy) -> Iterator[Cached]:
        """Go by another policy for the runs inside, without attaching anew: `with cached.using(policy): pipe(...)`.

        Raises:
            PolicyError: it does not fit the model; the attached one goes on.
            ConcurrentRun: a run is going on; it is not disturbed.
            NotAttached: the handle was removed.
        """
        self._check_attached()
        with self._session.using(policy):
            yield self

    def _check_attached(self) -> None:
        if not self.attached:
            raise NotAttached(f"policy {self.policy.name!r} was removed from {self.label}; apply it again")

    def summary(self) -> Summary:
        """Summarise the last run; prints as a table."""
        self._session.end_open_run()
        return summarise(self._session.trace)

    def held_bytes(self) -> int:
        """Return how many bytes of features are held at this moment; 0 between runs."""
        run = self._session.current_run
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in run.tensors()} if run else {}
        return sum(storages.values())

    @property
    def label(self) -> str:
        """The class name of what the policy is attached to."""
        return self._session.label

    @contextmanager
    def watching(self, watch: Callable[[str, str, torch.Tensor], None]) -> Iterator[None]:
        """Show `watch` what the blocks of every chain added, after each step on which they were computed.

        It is called with the transformer's name, the CFG branch and the residual of `hidden_states`, `(batch, tokens,
        channels)`, of the chain's first unit; it must not change it.
        """
        self._session.watchers.append(watch)
        try:
            yield
        finally:
            self._session.watchers.remove(watch)

    def remove(self) -> None:
        """Detach: the model is as it was before. A second call does nothing.

        Raises:
            StillRunning: called from inside the transformer's forward.
        """
        if self._detach is None:
            return
        if self._session.in_forward():
            raise StillRunning("remove() was called from inside the transformer's forward; call it between steps")
        self._session.end_open_run()
        self._session.fail("removed")
        self._detach()
        self._detach = None

    def __enter__(self) -> Cached:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] is not None:
            self._session.fail("exception")
        self.remove()

    def __repr__(self) -> str:
        state = "attached to" if self.attached else "removed from"
        return f"<cachedsl policy {self.policy.name} {state} {self._session.label}>"
