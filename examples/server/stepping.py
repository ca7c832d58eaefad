"""One request on the shared pipeline: a step, then the others' turn, then its next step."""

from __future__ import annotations

import copy
import functools
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from attrs import define

from cachedsl import Cached
from examples.server.job import Job, Stopped, TooLarge
from examples.server.turns import Turns


class GaveWay(Exception):
    """A run was ended because it and the others held too many features; it begins again when another is over."""


@define
class Memory:
    """How many bytes of features all runs together may hold between steps, and did after the last one."""

    most: int
    held: int = 0


class Stepping:
    """Hands the turn on after every step of one pipeline call.

    Nothing in the pipeline is changed: the call runs on a shallow copy, which has a scheduler of its own, and the
    scheduler's `step`, which pipelines call once a step, is where the others get their turn.

    Args:
        cached: the handle of the pipeline, which takes one step of one run at a time.
        turns: who has the turn may use the pipeline.
        job: the request.
        memory: what all runs together may hold.
    """

    def __init__(self, cached: Cached, turns: Turns, job: Job, memory: Memory) -> None:
        self.cached, self.turns, self.job, self.memory = cached, turns, job, memory
        self.taken = 0
        self._run = ExitStack()

    def own(self, pipe: Any) -> Any:
        """Return a copy of `pipe` for this request; modules are shared, the scheduler is not."""
        own = copy.copy(pipe)
        own.scheduler = self.scheduler = copy.deepcopy(pipe.scheduler)
        own.scheduler.step = self._handing_on(own.scheduler.step)
        return own

    def __enter__(self) -> Stepping:
        self.turns.take()
        try:
            self._begin_step()
        except BaseException:
            self.turns.hand_on()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run.__exit__(kind, error, trace)  # a run that is left by an exception has failed
        finally:
            self.cached.end(self.job.id)  # one that was stopped between two steps is aborted
            self.memory.held = self.cached.held_bytes()
            self.scheduler.__dict__.pop("step")  # which refers to its own scheduler
            self.turns.hand_on()

    def _begin_step(self) -> None:
        if self.job.stopped.is_set():
            raise Stopped
        self._run = ExitStack()
        if self.taken == 0:
            self._run.enter_context(self.cached.using(self.job.policy))
        self._run.enter_context(self.cached.run(self.job.steps, self.scheduler, id=self.job.id))

    def _handing_on(self, step: Any) -> Any:
        @functools.wraps(step)
        def stepped(*args: Any, **kwargs: Any) -> Any:
            output = step(*args, **kwargs)
            self.taken += 1
            if self.taken < self.job.steps:
                self._run.close()
                self._check_memory()
                self.turns.hand_on()
                self.turns.take()
                self._begin_step()
            return output

        return stepped

    def _check_memory(self) -> None:
        self.memory.held = held = self.cached.held_bytes()
        if held <= self.memory.most:
            return
        self.cached.end(self.job.id)
        if self.cached.held_bytes() == 0:  # nobody else holds anything
            raise TooLarge(
                f"the request holds {held} bytes of features, and the server may hold {self.memory.most}; ask for "
                "fewer or smaller images, or take a policy that holds less (docs/policies.md says what each does)"
            )
        raise GaveWay
