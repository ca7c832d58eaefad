"""The example on Ray Serve, with two real replicas on this machine: one HTTP entrance, whole requests, cancellation."""

from __future__ import annotations

import io
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import torch
from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families

from cachedsl import load_policy
from examples.server.pipelines import digits

pytest.importorskip("ray.serve", reason="needs Ray Serve: pip install 'cachedsl[ray]'")

ALWAYS = "F1B0_W1_S"
START_UP = 180.0  # seconds: ten processes start, two of them with torch; about 20 on two idle cores


@frozen
class Cluster:
    url: str
    metrics: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray import serve

    from examples.ray_serve.app import build

    port, metrics_port, folder = free_port(), free_port(), tempfile.mkdtemp(prefix="ray")
    ray.init(
        address="local",
        num_cpus=1,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        configure_logging=False,
        log_to_driver=False,
        _temp_dir=folder,  # a short path, for Ray's sockets are in it
        _metrics_export_port=metrics_port,
        _system_config={"metrics_report_interval_ms": 500},
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        starting = ThreadPoolExecutor(1)
        application = build(at_once=2, waiting=50, resources={"num_cpus": 0.1})
        starting.submit(serve.run, application).result(START_UP)
        starting.shutdown()
        yield Cluster(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics")
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def test_requests_are_drawn_whole_by_two_replicas_cancelled_and_counted(cluster: Cluster) -> None:
    with httpx.Client(base_url=cluster.url, timeout=60) as client, ThreadPoolExecutor(8) as pool:

        def post(**body: object) -> httpx.Response:
            return client.post("/images", json={"policy": ALWAYS, "format": "npy", **body})

        answers = list(pool.map(lambda seed: post(steps=6, seed=seed % 4), range(16)))
        assert [answer.status_code for answer in answers] == [200] * 16
        replicas = {answer.headers["X-Replica"] for answer in answers}
        assert len(replicas) == 2
        pipe, arguments = digits()
        with load_policy(ALWAYS).apply(pipe):
            for seed in range(4):
                generator = torch.Generator().manual_seed(seed)
                alone = pipe(**arguments, num_inference_steps=6, generator=generator, output_type="np").images
                for answer in answers[seed::4]:
                    assert np.array_equal(np.load(io.BytesIO(answer.content)), alone)

        wrong = post(policy="version: 1\ncompute: F1B0\nreuse: {treshold: 0.1}\n")
        assert (wrong.status_code, wrong.json()["detail"][0]["type"]) == (422, "unknown-key")
        assert client.delete("/images/nobody").status_code == 404

        drawing = pool.submit(post, id="x", steps=100)
        until(lambda: client.get("/healthz").json()["under_way"] == 1)
        assert post(id="x").status_code == 409
        assert client.delete("/images/x").status_code == 204
        assert drawing.result().status_code == 409
        until(lambda: client.get("/healthz").json()["under_way"] == 0)
        with pytest.raises(httpx.ReadTimeout):  # the client hangs up
            client.post("/images", json={"policy": ALWAYS, "steps": 100}, timeout=0.05)
        until(lambda: client.get("/healthz").json()["under_way"] == 0)

        def runs() -> dict[tuple[str, str], float]:
            families = text_string_to_metric_families(client.get(cluster.metrics).text)
            return {
                (sample.labels["replica"], sample.labels["outcome"]): sample.value
                for family in families
                for sample in family.samples
                if sample.name == "ray_cachedsl_runs_total"
            }

        def counted(outcome: str) -> float:
            return sum(value for (_, of), value in runs().items() if of == outcome)

        until(lambda: counted("completed") >= 16)
        assert counted("completed") + counted("aborted") <= 18, "what its replica had not begun is no run"
        assert {replica for replica, _ in runs()} == replicas
