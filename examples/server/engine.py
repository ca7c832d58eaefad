"""Draws several requests at once on one pipeline, a step of one and then a step of another."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from typing import Any

import numpy as np
import torch

from cachedsl import Policy
from cachedsl.runtime.finished import FinishedRun
from examples.server.job import Full, Job, Stopped, Taken
from examples.server.stepping import GaveWay, Memory, Stepping
from examples.server.turns import Turns

UNCACHED = Policy.from_notation("F1B0_R0")
"""What is attached for the whole time; each request brings its own."""


class Engine:
    """Takes requests, and draws as many of them at once as it may.

    Args:
        pipe: a diffusers pipeline.
        defaults: arguments of its call that requests do not give.
        at_once: how many requests take turns.
        waiting: how many more may wait; further ones are refused.
        feature_bytes: how many bytes of features all of them together may hold between steps.
    """

    def __init__(
        self,
        pipe: Any,
        defaults: dict[str, Any] | None = None,
        *,
        at_once: int = 4,
        waiting: int = 16,
        feature_bytes: int = 2**30,
    ) -> None:
        self.pipe, self.defaults = pipe, {"output_type": "np", **(defaults or {})}
        self.at_once, self.waiting, self.memory = at_once, waiting, Memory(feature_bytes)
        self.cached = UNCACHED.apply(pipe)
        self.cached.on_run(self._note)
        self._jobs: dict[str, Job] = {}
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="draw")
        self._turns, self._less = Turns(), Condition()
        self._over, self._seconds = 0, 1.0

    @property
    def going(self) -> int:
        """How many requests take turns."""
        return min(len(self._jobs), self.at_once)

    @property
    def queued(self) -> int:
        """How many requests wait for others to end."""
        return len(self._jobs) - self.going

    def submit(self, job: Job) -> Future[Any]:
        """Begin a request, or let it wait; the future has the images, as numpy.

        Raises:
            Full: too many wait.
            Taken: one of this id is under way.
        """
        if job.id in self._jobs:
            raise Taken(f"request {job.id!r} is under way; give each an id of its own, or none")
        if len(self._jobs) >= self.at_once + self.waiting:
            raise Full(max(1, math.ceil(self._seconds * self.waiting)))
        self._jobs[job.id] = job
        job.future = self._pool.submit(self._draw, job)
        job.future.add_done_callback(lambda _: self._leave(job))
        return job.future

    def cancel(self, id: str) -> bool:
        """Stop a request before its next step; tell whether there is one."""
        job = self._jobs.get(id)
        if job is None:
            return False
        job.stopped.set()
        job.future.cancel()  # where it waits still
        with self._less:
            self._less.notify_all()
        return True

    def close(self) -> None:
        """Stop all requests, and detach."""
        for id in tuple(self._jobs):
            self.cancel(id)
        self._pool.shutdown()
        self.cached.remove()

    def _draw(self, job: Job) -> Any:
        while True:
            over = self._over
            try:
                return self._once(job)
            except GaveWay:
                with self._less:
                    while self._over == over and not job.stopped.is_set():
                        self._less.wait()

    def _once(self, job: Job) -> Any:
        stepping = Stepping(self.cached, self._turns, job, self.memory)
        pipe = stepping.own(self.pipe)
        generator = torch.Generator().manual_seed(job.seed)
        arguments = {**self.defaults, **job.arguments, "num_inference_steps": job.steps, "return_dict": False}
        with stepping:
            images = pipe(**arguments, generator=generator)[0]
        return images.cpu().numpy() if isinstance(images, torch.Tensor) else np.asarray(images)

    def _leave(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        with self._less:
            self._over += 1
            self._less.notify_all()

    def _note(self, run: FinishedRun) -> None:
        """Learn how long a request takes, for what `Full` says."""
        if run.outcome == "completed":
            self._seconds += 0.1 * (run.seconds - self._seconds)


__all__ = ["Engine", "Full", "Job", "Stopped", "Taken"]
