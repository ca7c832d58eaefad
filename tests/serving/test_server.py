"""The example server: what clients send, get and give up, over HTTP in process."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from click.testing import CliRunner
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from cachedsl import bundled_policies, load_policy
from examples.server.__main__ import main
from examples.server.app import create
from examples.server.engine import Engine
from examples.server.job import Job
from examples.server.pipelines import load
from tests.tiny import call_arguments, tiny_pipeline

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = "F1B0_W1_S"


def engine_of(name: str = "dit", **options: Any) -> Engine:
    pipe = tiny_pipeline(name, blocks=2)
    arguments = {"class_labels": [1], "guidance_scale": 1.5} if name == "dit" else call_arguments(pipe)
    return Engine(pipe, arguments, **options)


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = engine_of()
    yield made
    made.close()


def ask(engine: Engine, talk: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """Let `talk` be had with the server of `engine`."""

    async def main() -> Any:
        transport = httpx.ASGITransport(create(engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await talk(client)

    return asyncio.run(main())


def post(engine: Engine, **body: Any) -> httpx.Response:
    answer: httpx.Response = ask(engine, lambda client: client.post("/images", json=body, timeout=60))
    return answer


def slowly(engine: Engine) -> threading.Event:
    """Let every step wait until the event is set."""
    go, scheduler = threading.Event(), engine.pipe.scheduler

    class Slow(type(scheduler)):  # type: ignore[misc]
        def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
            assert go.wait(60)
            super().set_timesteps(*args, **kwargs)

    scheduler.__class__ = Slow
    return go


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


def test_an_image_is_that_of_the_pipeline_under_the_policy(engine: Engine) -> None:
    answer = post(engine, policy=ALWAYS, steps=4, seed=7, arguments={"class_labels": [1, 2, 3]}, format="npy")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-npy"
    pipe = tiny_pipeline("dit", blocks=2)
    with load_policy(ALWAYS).apply(pipe):
        alone = pipe(
            class_labels=[1, 2, 3],
            guidance_scale=1.5,
            num_inference_steps=4,
            generator=torch.Generator().manual_seed(7),
            output_type="np",
        ).images
    assert np.array_equal(np.load(io.BytesIO(answer.content)), alone)
    picture = post(engine, policy=ALWAYS, steps=4, seed=7, arguments={"class_labels": [1, 2, 3]})
    shown = Image.open(io.BytesIO(picture.content))
    height, width = alone.shape[1:3]
    assert shown.size == (3 * width, height)
    assert np.array_equal(np.asarray(shown), (np.concatenate(list(alone), axis=1) * 255).round().astype(np.uint8))


@pytest.mark.parametrize(
    ("body", "place", "said"),
    [
        ({"policy": "version: 1\ncompute: F9B9\n"}, "policy", "front and"),
        ({"policy": "version: 1\ncompute: F1B0\nreuse: {treshold: 0.1}\n"}, "policy", "treshold"),
        ({"policy": "F1B0_X3"}, "policy", "X3"),
        ({"policy": "no-such"}, "policy", "is no bundled policy"),
        ({"policy": "/etc/hostname"}, "policy", "is no bundled policy"),
        ({"policy": "version: 1\nextends: ../policies/f8b0\n"}, "policy", "extends"),
        ({"policy": "F1B0_SCM111", "steps": 4}, "policy", "4"),
        ({"steps": 0}, "steps", "greater than or equal to 1"),
        ({"height": 64}, "height", "takes no 'height' from a request; it takes class_labels, guidance_scale"),
        ({"arguments": {"generator": 1}}, "generator", "takes no 'generator'"),
        ({"arguments": {"class_labels": [0] * 17}}, "class_labels", "at most 16, got 17"),
        ({"no_such": 1}, "no_such", "Extra inputs"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(engine: Engine, body: dict[str, Any], place: str, said: str) -> None:
    answer = post(engine, **{"policy": ALWAYS, **body})
    assert answer.status_code == 422
    first = answer.json()["detail"][0]
    assert first["loc"][0] == "body"
    assert first["loc"][-1] == place
    assert said in first["msg"]
    assert engine.going == 0


def test_findings_have_their_place_in_the_text_and_what_the_pipeline_says_is_handed_on(engine: Engine) -> None:
    text = "version: 1\ncompute: F1B0\nreuse:\n  treshold: 0.1\n"
    (finding,) = post(engine, policy=text).json()["detail"]
    assert (finding["line"], finding["column"], finding["type"]) == (4, 3, "unknown-key")
    assert "threshold" in finding["way_out"]
    answer = post(engine, policy=ALWAYS, arguments={"class_labels": "x"})
    assert answer.status_code == 422
    assert post(engine, policy=ALWAYS, arguments={"class_labels": [10**6]}).status_code == 422
    assert post(engine, policy=ALWAYS, steps=2).status_code == 200  # nothing is left of it


@pytest.mark.parametrize("name", ["qwenimage", "wan22"])
def test_any_pipeline_takes_turns(name: str) -> None:
    """One with two calls a step, and one with two transformers."""
    engine = engine_of(name)
    jobs = [Job(load_policy(ALWAYS), steps, seed=steps) for steps in (3, 5)]
    together = [engine.submit(job) for job in jobs]
    pipe = tiny_pipeline(name, blocks=2)
    with load_policy(ALWAYS).apply(pipe):
        for job, drawn in zip(jobs, together, strict=True):
            generator = torch.Generator().manual_seed(job.seed)
            alone = pipe(**engine.defaults, num_inference_steps=job.steps, generator=generator, return_dict=False)[0]
            assert np.array_equal(drawn.result(60), np.asarray(alone))
    engine.close()


def test_a_full_queue_is_said_and_a_place_in_it_may_be_given_up() -> None:
    engine = engine_of(at_once=1, waiting=1)
    go = slowly(engine)

    async def talk(client: httpx.AsyncClient) -> None:
        body = {"policy": ALWAYS, "steps": 2}
        first = asyncio.create_task(client.post("/images", json={**body, "id": "a"}, timeout=60))
        await until(lambda: engine.going == 1)
        second = asyncio.create_task(client.post("/images", json={**body, "id": "b"}, timeout=60))
        await until(lambda: engine.queued == 1)
        full = await client.post("/images", json=body)
        assert full.status_code == 429
        assert int(full.headers["Retry-After"]) >= 1
        again = await client.post("/images", json={**body, "id": "a"})
        assert (again.status_code, "under way" in again.json()["detail"]) == (409, True)
        health = (await client.get("/healthz")).json()
        assert health == {"model": "DiTPipeline", "going": 1, "queued": 1, "feature_bytes": 0}
        assert (await client.delete("/images/b")).status_code == 204
        assert (await second).status_code == 409
        assert (await client.delete("/images/b")).status_code == 404
        go.set()
        assert (await first).status_code == 200

    ask(engine, talk)
    engine.close()


def test_a_request_is_cancelled_between_two_steps_and_its_features_freed() -> None:
    engine = engine_of()
    told: list[Any] = []
    engine.cached.on_run(told.append)

    async def talk(client: httpx.AsyncClient) -> None:
        drawing = asyncio.create_task(client.post("/images", json={"id": "x", "policy": ALWAYS, "steps": 100}))
        await until(lambda: engine.memory.held > 0)
        assert (await client.delete("/images/x")).status_code == 204
        assert (await drawing).status_code == 409
        leaving = asyncio.create_task(client.post("/images", json={"id": "y", "policy": ALWAYS, "steps": 100}))
        await until(lambda: engine.memory.held > 0)
        leaving.cancel()
        await until(lambda: engine.going == 0 and engine.cached.held_bytes() == 0)

    ask(engine, talk)
    assert [(run.id, run.outcome) for run in told] == [("x", "aborted"), ("y", "aborted")]
    assert all(run.steps < 100 for run in told)
    engine.close()


def test_a_client_that_hangs_up_cancels_its_request() -> None:
    """Over a real socket, for in process there is no hanging up."""
    engine = engine_of()
    server = uvicorn.Server(uvicorn.Config(create(engine), port=0, log_level="error"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        asyncio.run(until(lambda: server.started))
        port = listening.getsockname()[1]
        told: list[Any] = []
        engine.cached.on_run(told.append)
        body = b'{"policy": "F1B0_W1_S", "steps": 100}'
        with socket.create_connection(("127.0.0.1", port)) as client:
            head = (
                f"POST /images HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            )
            client.sendall(head.encode() + b"\r\n" + body)
            asyncio.run(until(lambda: engine.memory.held > 0))
        asyncio.run(until(lambda: told != []))
        assert (told[0].outcome, engine.going) == ("aborted", 0)
        server.should_exit = True
        thread.join()
    assert not engine.cached.attached, "the engine is closed with its server"


def test_features_are_bounded_and_who_gave_way_draws_the_same() -> None:
    one = engine_of(at_once=1)
    job = Job(load_policy(ALWAYS), 6, arguments={"class_labels": [1]})
    expected = one.submit(job).result(60)
    held: list[int] = []
    one.memory.most = 0
    with pytest.raises(Exception, match="bytes of features, and the server may hold 0; ask for fewer"):
        one.submit(Job(load_policy(ALWAYS), 6)).result(60)
    assert post(one, policy=ALWAYS, steps=6).status_code == 413
    one.close()
    engine = engine_of(at_once=3)
    alone = 2 * 4 * 4 * 32 * 4  # two halves of the batch, 4x4 tokens of 32 float32
    engine.memory.most = 2 * alone
    told: list[Any] = []
    engine.cached.on_run(told.append)
    engine.cached.on_run(lambda run: held.append(engine.memory.held))
    futures = [engine.submit(Job(load_policy(ALWAYS), 6, arguments={"class_labels": [1]})) for _ in range(6)]
    assert all(np.array_equal(future.result(60), expected) for future in futures)
    assert max(held) <= 3 * alone
    assert sum(run.outcome == "completed" for run in told) == 6
    assert any(run.outcome == "aborted" for run in told), "somebody gave way"
    engine.close()


def pipeline_with_one_block() -> Any:
    return tiny_pipeline("dit", blocks=1)


def test_a_pipeline_is_named_by_its_function() -> None:
    pipe, arguments = load(f"{__name__}:pipeline_with_one_block")
    assert (type(pipe).__name__, arguments) == ("DiTPipeline", {})
    said = CliRunner().invoke(main, ["--pipeline", f"{__name__}:pipeline_with_one_blok"])
    assert said.exit_code == 2
    assert "did you mean pipeline_with_one_block?" in said.output


def test_policies_and_metrics_are_shown(engine: Engine) -> None:
    async def talk(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        assert (await client.post("/images", json={"policy": ALWAYS, "steps": 4})).status_code == 200
        return await client.get("/policies"), await client.get("/metrics")

    policies, answer = ask(engine, talk)
    listed = policies.json()
    assert [one["name"] for one in listed] == list(bundled_policies())
    assert all(one["description"] for one in listed)
    said = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert said["server_queued"].samples[0].value == 0
    (steps,) = (one for one in said["cachedsl_step_seconds"].samples if one.name.endswith("_count"))
    assert (steps.labels, steps.value) == ({"policy": "f1b0_w1_s"}, 4)
    assert answer.headers["content-type"].startswith("text/plain")


def test_requests_that_mix_everything_are_each_as_alone() -> None:
    """The first 24 of the requests of benchmarks/serve_load.py, which has 1,000, and measures memory too."""
    spec = importlib.util.spec_from_file_location("serve_load", ROOT / "benchmarks" / "serve_load.py")
    assert spec is not None
    assert spec.loader is not None
    serve_load = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve_load)
    made = serve_load.requests(24)
    assert {one.policy for one in made} == set(serve_load.POLICIES)
    assert len({one.size for one in made}) == 3
    outcome = asyncio.run(serve_load.load(made))
    assert set(outcome.statuses) == {200, 409}
    assert sum(outcome.statuses.values()) == 24
    assert (outcome.differ, outcome.features_left) == ([], 0)
    assert outcome.compared > 10
    assert 0.1 < 1 - outcome.blocks["computed"] / outcome.blocks["total"] < 0.9
    said = outcome.metrics
    assert 'cachedsl_runs_total{outcome="completed",policy="own"}' in said
