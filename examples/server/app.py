"""The HTTP side: FastAPI around an `Engine`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import Gauge

from cachedsl import bundled_policies, load_policy
from cachedsl.serving.metrics import CONTENT_TYPE, RunMetrics
from examples.server.answers import STATUSES, refusal
from examples.server.engine import Engine
from examples.server.job import Job, Stopped
from examples.server.pictures import MEDIA, encode
from examples.server.wanted import Wanted, to_job

GONE = 499
"""The status of a request whose client has gone; nobody reads it but the log."""


def create(engine: Engine) -> FastAPI:
    """Return the server of an engine, which it closes at its end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        engine.close()

    app = FastAPI(title="cachedsl example server", lifespan=lifespan)
    metrics = metrics_of(engine)

    @app.post("/images", response_class=Response)
    async def draw(wanted: Wanted, request: Request) -> Response:
        job = to_job(wanted, engine)
        engine.submit(job)
        images = await drawn(job, engine, request)
        if images is None:
            return Response(status_code=GONE)
        return Response(encode(images, wanted.format), media_type=MEDIA[wanted.format], headers={"X-Id": job.id})

    @app.delete("/images/{id}", status_code=204)
    async def cancel(id: str) -> None:
        if not engine.cancel(id):
            raise HTTPException(404, f"no request {id!r} is under way")

    @app.get("/policies")
    async def policies() -> list[dict[str, str]]:
        return [{"name": name, "description": load_policy(name).description or ""} for name in bundled_policies()]

    @app.get("/healthz")
    async def health() -> dict[str, Any]:
        return {
            "model": engine.cached.label,
            "going": engine.going,
            "queued": engine.queued,
            "feature_bytes": engine.memory.held,
        }

    @app.get("/metrics")
    async def show_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    _answers(app)
    return app


def metrics_of(engine: Engine) -> RunMetrics:
    """Count the runs of an engine, and show its queue."""
    metrics = RunMetrics()
    metrics.watch(engine.cached)
    for name, words, read in (
        ("server_going", "Requests that take turns.", lambda: engine.going),
        ("server_queued", "Requests that wait.", lambda: engine.queued),
        ("server_feature_bytes", "Bytes of features held between steps.", lambda: engine.memory.held),
    ):
        Gauge(name, words, registry=metrics.registry).set_function(read)
    return metrics


async def drawn(job: Job, engine: Engine, request: Request) -> Any:
    """Wait for a request's images; None where its client has gone before, which cancels it."""
    drawing = asyncio.wrap_future(job.future)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({drawing, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not drawing.done():
            engine.cancel(job.id)
    if not drawing.done():
        drawing.add_done_callback(lambda future: future.cancelled() or future.exception())  # nobody asks for it
        return None
    if drawing.cancelled():
        raise Stopped
    return drawing.result()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answers(app: FastAPI) -> None:
    async def answer(request: Request, error: Exception) -> Response:
        said = refusal(error)
        assert said is not None, "those that have a status are registered"
        return Response(said.content, said.status, said.headers, said.media)

    for kind in STATUSES:
        app.add_exception_handler(kind, answer)
