"""Many runs one after the other and through one another, on models that live on: each must be as it is alone.

Every run draws its policy, batch size, step count and engine, and some are cancelled: by an exception in their middle,
or by `end`. What a run gives is compared with a fresh model of the same engine under the same policy, and whatever is
left behind afterwards is counted.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import torch
from attrs import define, field, frozen
from torchao.quantization import Int8WeightOnlyConfig, quantize_

from cachedsl import Cached, Policy
from tests.combinations.base import lora, model
from tests.combinations.test_weights import cast, grouped
from tests.tiny import inputs


def compiled(one: Any) -> None:
    one.compile_repeated_blocks(backend="eager", dynamic=True)


def quantised(one: Any) -> None:
    quantize_(one, Int8WeightOnlyConfig())


ENGINES: dict[str, Callable[[Any], object]] = {
    "plain": lambda one: None,
    "LoRA": lora,
    "int8 weights": quantised,
    "groups of 2": grouped,
    "layerwise casting": cast,
    "compiled blocks": compiled,
}
METHODS: tuple[Any, ...] = (
    "copy",
    {"method": "taylor", "order": 2},
    {"method": "taylor", "repay": 0.5},
    {"method": "newton", "order": 2},
    "hermite",
    "foca",
    {"method": "dmd", "history": 4},
    "probe_gain",
)


@frozen
class Job:
    """One run.

    Attributes:
        number: its id, and the seed of its inputs.
        engine: the model that it is for.
        policy: its policy.
        steps: how many it has.
        batch: images at once.
        leaves: before which step it is cancelled; None where it is not.
        fails: whether it is cancelled by an exception, rather than by `end`.
    """

    number: int
    engine: str
    policy: Policy
    steps: int
    batch: int
    leaves: int | None
    fails: bool

    def take(self, one: Any, step: int) -> torch.Tensor:
        with torch.no_grad():
            given = inputs("flux", step, self.steps, "cond", self.number, self.batch)
            return one(**given, return_dict=False)[0].clone()


class Cancelled(Exception):
    """A client is gone."""


def draw_policy(draw: random.Random) -> Policy:
    """Return any policy that fits three blocks a list."""
    front, back = draw.choice(((1, 0), (1, 1), (2, 0)))
    policy: dict[str, Any] = {
        "compute": f"F{front}B{back}",
        "warmup": draw.choice((1, 2)),
        "reuse": {"threshold": draw.choice(("always", 0.2, 0.5)), "max_continuous": draw.choice((None, 1, 2))},
        "cfg": "fused",
        "features": draw.choice((None, {"dtype": "bfloat16"}, {"device": "cpu"})),
    }
    kind = draw.randrange(4)
    if kind == 0:
        policy["prune"] = {}
        policy["reuse"]["threshold"] = 0.3
    else:
        policy["predict"] = draw.choice(METHODS)
        policy["span"] = draw.choice(("stack", "joined"))
    return Policy(**policy)


def jobs(count: int, engines: tuple[str, ...], seed: int) -> Iterator[Job]:
    draw = random.Random(seed)
    for number in range(count):
        steps = draw.randint(3, 6)
        leaves = draw.randrange(1, steps) if draw.random() < 0.25 else None
        policy = draw_policy(draw)
        yield Job(number, draw.choice(engines), policy, steps, draw.choice((1, 2)), leaves, draw.random() < 0.5)


def alone(job: Job) -> tuple[list[torch.Tensor], int]:
    """Return what the job gives on a fresh model, up to where it is cancelled, and how many steps are reused."""
    one = model()
    if job.engine != "compiled blocks":  # which is the same, but for rounding
        ENGINES[job.engine](one)
    with job.policy.apply(one) as cached, cached.run(steps=job.steps):
        outputs = [job.take(one, step) for step in range(job.leaves or job.steps)]
        return outputs, sum(step.outcome == "reused" for step in cached.trace.steps())


@define
class Seen:
    """What is alive between runs.

    Attributes:
        resident: bytes of the process.
        tensors: how many tensors there are.
        bytes: of their storages.
    """

    resident: int
    tensors: int
    bytes: int

    @classmethod
    def now(cls) -> Seen:
        gc.collect()
        alive = [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]
        sizes = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in alive if _has_storage(one)}
        return cls(psutil.Process().memory_info().rss, len(alive), sum(sizes.values()))


def _has_storage(one: torch.Tensor) -> bool:
    try:
        return one.untyped_storage().data_ptr() != 0
    except (RuntimeError, NotImplementedError):
        return False


@define
class Report:
    """What a soak has shown.

    Attributes:
        runs: how many runs there were.
        cancelled: how many of them were cancelled.
        worst: the largest difference of an output from that of the job alone.
        reused: steps of block lists that were reused, alone.
        seen: what was alive after each group of runs.
    """

    runs: int = 0
    cancelled: int = 0
    worst: float = 0.0
    reused: int = 0
    seen: list[Seen] = field(factory=list)


def soak(count: int, engines: tuple[str, ...] = tuple(ENGINES), seed: int = 0) -> Report:
    """Run so many jobs, up to four through one another, and compare each with itself alone.

    Raises:
        AssertionError: an output is another one than the job's alone, or something is held after a group of runs.
    """
    report, models = Report(), {name: model() for name in engines}
    for name, one in models.items():
        ENGINES[name](one)
    attached = {name: Policy(compute="F1B0").apply(one) for name, one in models.items()}
    draw, waiting = random.Random(seed + 1), list(jobs(count, engines, seed))
    while waiting:
        size = draw.randint(1, 4)
        group, waiting = waiting[:size], waiting[size:]
        _together(group, models, attached, draw, report)
        for name, cached in attached.items():
            assert cached.held_bytes() == 0, f"{name} holds {cached.held_bytes()} bytes after its runs"
        report.seen.append(Seen.now())
    for cached in attached.values():
        cached.remove()
    return report


def _together(
    group: list[Job], models: dict[str, Any], attached: dict[str, Cached], draw: random.Random, report: Report
) -> None:
    going = {job.number: (job, 0) for job in group}
    outputs: dict[int, list[torch.Tensor]] = {job.number: [] for job in group}
    while going:
        job, step = going.pop(draw.choice(sorted(going)))
        cached, one = attached[job.engine], models[job.engine]
        if step == job.leaves:
            report.cancelled += 1
            if job.fails:
                try:
                    with cached.run(id=job.number):
                        raise Cancelled
                except Cancelled:
                    pass
            else:
                assert cached.end(job.number)
            continue
        if step == 0:
            with cached.using(job.policy), cached.run(steps=job.steps, id=job.number):
                outputs[job.number].append(job.take(one, step))
        else:
            with cached.run(id=job.number):
                outputs[job.number].append(job.take(one, step))
        if step + 1 < job.steps:
            going[job.number] = (job, step + 1)
    for job in group:
        expected, reused = alone(job)
        report.reused += reused
        assert len(expected) == len(outputs[job.number])
        for got, own in zip(outputs[job.number], expected, strict=True):
            off = float((got - own).abs().max())
            report.worst = max(report.worst, off)
            assert off <= (1e-4 if job.engine == "compiled blocks" else 0.0), (job, off)
        report.runs += 1
