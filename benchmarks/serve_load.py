"""A bounded load test of examples/server: requests that mix policies, steps, sizes and cancellations.

    python benchmarks/serve_load.py --requests 1000

They come over HTTP, in process, to a tiny Flux of random weights. Every answer is compared with the same request drawn
alone, by a pipeline that nobody else uses, and the process's memory with what it was after the first three tenths.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import logging
import os
import platform
import random
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import attrs
import diffusers
import httpx
import numpy as np
import psutil
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cachedsl.runtime.finished import FinishedRun
from examples.server.app import create
from examples.server.engine import Engine
from examples.server.wanted import read
from tests.tiny import call_arguments, tiny_pipeline

RESULT = Path(__file__).parent / "results" / "serve-load.json"

POLICIES = (
    "F1B0_R0.1",
    "F1B0_W1_R0.6_T1",
    "F1B1_W1MC2_S",
    "F1B0_R0",
    "version: 1\nname: own\ncompute: F1B0\nwarmup: 1\nreuse: {threshold: always}\npredict: foca\n",
    "version: 1\nname: other\nextends: repay-fast\ncompute: F1B0\nwarmup: 2\n",
)
SIZES = ((64, 64), (32, 64), (96, 32))
AT_ONCE, WAITING = 4, 28


@attrs.frozen
class Request:
    """One request; `gives_up` is after how many seconds its client asks for it to be deleted, None for never."""

    number: int
    policy: str
    steps: int
    size: tuple[int, int]
    guided: bool
    seed: int
    gives_up: float | None

    def body(self) -> dict[str, Any]:
        guidance = {"true_cfg_scale": 4.0} if self.guided else {}
        return {
            "id": str(self.number),
            "policy": self.policy,
            "steps": self.steps,
            "seed": self.seed,
            "height": self.size[0],
            "width": self.size[1],
            "arguments": guidance,
            "format": "npy",
        }


@attrs.define
class Outcome:
    """What came of a load: answers by status, those that differ from being drawn alone, memory as it went."""

    statuses: Counter[int] = attrs.field(factory=Counter)
    differ: list[int] = attrs.field(factory=list)
    compared: int = 0
    rss: list[int] = attrs.field(factory=list)
    most_features: int = 0
    features_left: int = 0
    seconds: float = 0.0
    blocks: Counter[str] = attrs.field(factory=Counter)
    metrics: str = ""

    def growth(self) -> float:
        """Return how much of its memory the process gained: the last tenth against the fourth one."""
        tenth = max(1, len(self.rss) // 10)
        before, after = median(self.rss[3 * tenth : 4 * tenth]), median(self.rss[-tenth:])
        return after / before - 1


def requests(count: int, seed: int = 5) -> list[Request]:
    draw = random.Random(seed)
    return [
        Request(
            number,
            draw.choice(POLICIES),
            draw.randint(2, 6),
            draw.choice(SIZES),
            draw.random() < 0.3,
            draw.randrange(4),
            draw.choice((None, None, None, None, 0.0, 0.05)),
        )
        for number in range(count)
    ]


def pipeline() -> tuple[Any, dict[str, Any]]:
    """Return a tiny Flux pipeline, and the arguments of its call that requests do not give."""
    pipe = tiny_pipeline("flux", blocks=3)
    return pipe, call_arguments(pipe)


def alone(made: list[Request]) -> dict[tuple[Any, ...], Any]:
    """Draw every kind of request once, each by itself."""
    pipe, defaults = pipeline()
    found: dict[tuple[Any, ...], Any] = {}
    for one in made:
        if kind(one) in found:
            continue
        body = one.body()
        arguments = {**defaults, **body["arguments"], "height": body["height"], "width": body["width"]}
        with read(one.policy).apply(pipe):
            generator = torch.Generator().manual_seed(one.seed)
            result = pipe(**arguments, num_inference_steps=one.steps, generator=generator, return_dict=False)
        found[kind(one)] = result[0].numpy()
    return found


def kind(one: Request) -> tuple[Any, ...]:
    return one.policy, one.steps, one.size, one.guided, one.seed


async def load(made: list[Request], clients: int = 12) -> Outcome:
    """Send the requests from a few clients at once; each repeats what was refused for a full queue."""
    expected, outcome, todo = alone(made), Outcome(), iter(made)
    pipe, defaults = pipeline()
    engine = Engine(pipe, defaults, at_once=AT_ONCE, waiting=WAITING)

    def count(run: FinishedRun) -> None:
        outcome.blocks.update(computed=run.blocks_computed, total=run.blocks_total)

    engine.cached.on_run(count)
    process, started = psutil.Process(), time.perf_counter()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create(engine)), base_url="http://server") as client:

        async def give_up(one: Request) -> None:
            await asyncio.sleep(one.gives_up or 0.0)
            await client.delete(f"/images/{one.number}")

        async def worker() -> None:
            for one in todo:
                leaving = None if one.gives_up is None else asyncio.create_task(give_up(one))
                answer = await client.post("/images", json=one.body(), timeout=None)
                if leaving is not None:
                    await leaving
                outcome.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    outcome.compared += 1
                    got = torch.from_numpy(np.load(io.BytesIO(answer.content)))
                    if not torch.equal(got, torch.from_numpy(expected[kind(one)])):
                        outcome.differ.append(one.number)
                outcome.most_features = max(outcome.most_features, engine.memory.held)
                outcome.rss.append(process.memory_info().rss)

        await asyncio.gather(*(worker() for _ in range(clients)))
        gc.collect()
        outcome.seconds = time.perf_counter() - started
        outcome.features_left = engine.cached.held_bytes()
        outcome.metrics = (await client.get("/metrics")).text
    engine.close()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    count = parser.parse_args().requests
    torch.set_num_threads(1)
    logging.getLogger("cachedsl").setLevel(logging.ERROR)  # that a short run reuses nothing is no news here
    outcome = asyncio.run(load(requests(count)))
    result = {
        "requests": count,
        "at_once": AT_ONCE,
        "answers": {str(status): many for status, many in sorted(outcome.statuses.items())},
        "compared_with_alone": outcome.compared,
        "differ_from_alone": len(outcome.differ),
        "reused_share": round(1 - outcome.blocks["computed"] / outcome.blocks["total"], 3),
        "memory_growth_percent": round(100 * outcome.growth(), 2),
        "rss_mib": round(outcome.rss[-1] / 2**20, 1),
        "most_feature_bytes": outcome.most_features,
        "feature_bytes_at_the_end": outcome.features_left,
        "seconds": round(outcome.seconds, 1),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, one torch thread, shared with other work",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}",
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
