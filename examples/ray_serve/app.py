"""The entrance: takes requests over HTTP, hands each whole to a replica, and cancels it there."""

# no `from __future__ import annotations`: Ray ships the class without this module, where FastAPI would look names up

import asyncio
import uuid
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from ray import serve
from ray.exceptions import TaskCancelledError
from ray.serve.exceptions import BackPressureError, RequestCancelledError

from examples.ray_serve.replica import Drawer
from examples.server.answers import refusal
from examples.server.job import Full, Stopped
from examples.server.wanted import Wanted

api = FastAPI(title="cachedsl on Ray Serve")


@serve.deployment(num_replicas=1, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
@serve.ingress(api)
class Entrance:
    """Knows which request is with which replica; there is one of it."""

    def __init__(self, drawer: Any) -> None:
        self.drawer = drawer
        self.under_way: dict[str, Any] = {}

    @api.post("/images", response_class=Response)
    async def draw(self, wanted: Wanted) -> Response:
        id = wanted.id or uuid.uuid4().hex
        if id in self.under_way:
            raise HTTPException(409, f"request {id!r} is under way; give each an id of its own, or none")
        answer = self.under_way[id] = self.drawer.draw.remote(wanted.model_copy(update={"id": id}))
        try:
            said = await answer
        except BackPressureError:
            said = refusal(Full(1))
        except (RequestCancelledError, TaskCancelledError):
            said = refusal(Stopped())
        except asyncio.CancelledError:  # the client has gone
            answer.cancel()
            raise
        finally:
            del self.under_way[id]
        return Response(said.content, said.status, {**said.headers, "X-Id": id}, said.media)

    @api.delete("/images/{id}", status_code=204)
    async def cancel(self, id: str) -> None:
        if id not in self.under_way:
            raise HTTPException(404, f"no request {id!r} is under way")
        self.under_way[id].cancel()

    @api.get("/healthz")
    async def health(self) -> dict[str, Any]:
        return {"under_way": len(self.under_way), "one_replica": await self.drawer.health.remote()}


def build(
    pipeline: str | None = None,
    replicas: int = 2,
    at_once: int = 4,
    waiting: int = 16,
    feature_bytes: int = 2**30,
    resources: dict[str, float] | None = None,
) -> Any:
    """Return the application for `serve.run`.

    Args:
        pipeline: `module:function`, which every replica calls; the bundled digits by default.
        replicas: how many engines there are, on as many machines as Ray finds room on.
        at_once: how many requests take turns on one replica.
        waiting: how many more may wait for a replica; further ones are refused.
        feature_bytes: how many bytes of features one replica may hold.
        resources: what one replica takes of a machine, such as `{"num_gpus": 1}`.
    """
    drawer = serve.deployment(
        Drawer,
        num_replicas=replicas,
        max_ongoing_requests=at_once,
        max_queued_requests=waiting,
        ray_actor_options=resources or {"num_cpus": 1},
    )
    entrance: Any = Entrance  # which `serve.deployment` has made a deployment of
    return entrance.bind(drawer.bind(pipeline, at_once, feature_bytes))


app = build()
