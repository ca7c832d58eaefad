"""One replica: an engine of its own, which keeps a request from its first step to its last."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve

from examples.ray_serve.metrics import ReplicaMetrics
from examples.server.answers import Answer, refusal
from examples.server.engine import Engine
from examples.server.pictures import MEDIA, encode
from examples.server.pipelines import digits, load
from examples.server.wanted import Wanted, to_job


class Drawer:
    """Draws requests, several at once in turn, on the pipeline of this replica."""

    def __init__(self, pipeline: str | None, at_once: int, feature_bytes: int) -> None:
        pipe, arguments = digits() if pipeline is None else load(pipeline)
        self.engine = Engine(pipe, arguments, at_once=at_once, waiting=at_once, feature_bytes=feature_bytes)
        self.engine.cached.on_run(ReplicaMetrics())
        self.replica = str(serve.get_replica_context().replica_tag)

    async def draw(self, wanted: Wanted) -> Answer:
        """Draw one request. Ray cancels this where the request is cancelled, and then its run ends too."""
        headers = {"X-Replica": self.replica}
        try:
            job = to_job(wanted, self.engine)
            self.engine.submit(job)
            try:
                images = await asyncio.wrap_future(job.future)
            finally:
                self.engine.cancel(job.id)  # which does nothing where it is over
            return Answer(200, encode(images, wanted.format), MEDIA[wanted.format], headers)
        except Exception as error:
            said = refusal(error)
            if said is None:
                raise
            return Answer(said.status, said.content, said.media, {**said.headers, **headers})

    def health(self) -> dict[str, Any]:
        """Return what this replica is doing."""
        engine = self.engine
        return {"replica": self.replica, "going": engine.going, "feature_bytes": engine.memory.held}
