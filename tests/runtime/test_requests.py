"""A server takes one step of one request, then one of another, on one transformer."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from attrs import define, evolve
from diffusers import FlowMatchEulerDiscreteScheduler

from cachedsl import CachedslError, Policy
from cachedsl.language.parts import Cfg, Compute, Predict, Reuse, Warmup
from cachedsl.runtime.errors import ConcurrentRun
from cachedsl.runtime.owner import current_owner
from tests.tiny import inputs, tiny_transformer

BASE = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always"))
POLICIES = (
    BASE,
    evolve(BASE, reuse=Reuse("always", max_continuous=1)),
    evolve(BASE, reuse=Reuse(0.3)),
    evolve(BASE, warmup=Warmup(2), predict=Predict("taylor", 1)),
    evolve(BASE, compute=Compute(1, 1), predict=Predict("foca")),
)


@define
class Request:
    """One image: its policy, its size, how it is guided, and after how many steps its client is gone."""

    number: int
    policy: Policy
    steps: int
    batch: int
    branches: tuple[str, ...]
    aborts: int | None

    def take(self, model: Any, step: int) -> list[torch.Tensor]:
        given = [inputs("wan", step, self.steps, one, self.number, self.batch) for one in self.branches]
        return [model(**each, return_dict=False)[0].clone() for each in given]


def requests(count: int) -> list[Request]:
    draw = random.Random(7)
    return [
        Request(
            number,
            draw.choice(POLICIES),
            draw.randint(2, 4),
            draw.choice((1, 1, 2)),
            draw.choice((("cond",), ("cond", "uncond"))),
            draw.choice((None, None, None, 1, 2)),
        )
        for number in range(count)
    ]


def alone(cached: Any, model: Any, request: Request) -> tuple[list[torch.Tensor], list[int]]:
    """Return what the request's calls return, and the bytes that are held after each of its steps."""
    outputs, held = [], []
    with cached.using(request.policy), cached.run(steps=request.steps):
        for step in range(request.steps):
            outputs += request.take(model, step)
            held.append(cached.held_bytes())
    return outputs, held


def interleaved(waiting: list[Request], at_once: int) -> Iterator[tuple[Request, int]]:
    """Take a step of any of a few requests, until all have had theirs."""
    draw, queue = random.Random(11), list(waiting)
    going: list[tuple[Request, int]] = []
    while queue or going:
        while queue and len(going) < at_once:
            going.append((queue.pop(0), 0))
        request, step = going.pop(draw.randrange(len(going)))
        yield request, step
        if step + 1 < request.steps and step + 1 != request.aborts:
            going.append((request, step + 1))


def test_two_hundred_interleaved_requests_are_each_as_alone() -> None:
    model = tiny_transformer("wan", blocks=3)
    made = requests(200)
    with torch.no_grad(), BASE.apply(model) as cached:
        expected = {request.number: alone(cached, model, request) for request in made}
    with torch.no_grad(), BASE.apply(model) as cached:
        outputs: dict[int, list[torch.Tensor]] = {request.number: [] for request in made}
        due: dict[int, int] = {}
        for request, step in interleaved(made, at_once=8):
            if step == 0:
                with cached.using(request.policy), cached.run(steps=request.steps, id=request.number):
                    outputs[request.number] += request.take(model, 0)
            else:
                with cached.run(id=request.number):
                    outputs[request.number] += request.take(model, step)
            if step + 1 == request.aborts:
                assert cached.end(request.number) == (step + 1 < request.steps)
            due[request.number] = expected[request.number][1][step]
            if step + 1 in (request.steps, request.aborts):
                del due[request.number]
            assert cached.held_bytes() == sum(due.values()), "what the requests under way hold alone, and no more"
        assert cached.held_bytes() == 0
    for request in made:
        got = outputs[request.number]
        assert len(got) == len(request.branches) * min(request.steps, request.aborts or request.steps)
        assert all(torch.equal(a, b) for a, b in zip(got, expected[request.number][0], strict=False))


def test_a_run_with_an_id_is_over_with_its_last_step_and_may_be_ended_before() -> None:
    model = tiny_transformer("wan")
    with BASE.apply(model) as cached, torch.no_grad():
        for step in range(3):
            for branch in ("cond", "uncond"):  # one call at a time
                with cached.run(steps=3, id="a"):
                    model(**inputs("wan", step, 3, branch))
            assert (cached.held_bytes() > 0) == (step < 2)
        assert not cached.end("a")
        assert [s.run for s in cached.trace.steps()] == [0] * 6
        with cached.run(steps=3, id="a"):  # another image
            model(**inputs("wan", 0, 3))
        assert cached.trace.steps()[-1].run == 1
        assert cached.end("a")
        assert cached.held_bytes() == 0
        assert [w.code for w in cached.trace.warnings()] == ["calls-differ"]


def test_an_exception_ends_the_run_that_it_came_from_and_no_other() -> None:
    model = tiny_transformer("wan")
    with BASE.apply(model) as cached, torch.no_grad():
        for name in ("a", "b"):
            with cached.run(steps=3, id=name):
                model(**inputs("wan", 0, 3))
        with pytest.raises(KeyError), cached.run(id="a"):
            raise KeyError
        assert not cached.end("a")
        for step in (1, 2):
            with cached.run(id="b"):
                model(**inputs("wan", step, 3))
        assert "".join(s.outcome[0] for s in cached.trace.steps(run=1)) == "crr"


def test_one_run_goes_on_at_a_time_and_the_count_must_be_the_same() -> None:
    model = tiny_transformer("wan")
    with BASE.apply(model) as cached, torch.no_grad():
        with pytest.raises(ValueError, match="whole number"), cached.run(id="a"):
            pass
        with cached.run(steps=3, id="a"):
            for other in ("a", "b"):
                with pytest.raises(ConcurrentRun), cached.run(steps=3, id=other):
                    pass
            with pytest.raises(ConcurrentRun):
                cached.end("a")
        with (
            pytest.raises(ValueError, match="under way with 3 steps, and was entered again with 4"),
            cached.run(4, id="a"),
        ):
            pass
    with pytest.raises(CachedslError, match="was removed"), cached.run(id="a"):
        pass
    assert cached.held_bytes() == 0


def test_a_request_may_go_on_in_another_thread_with_its_own_scheduler() -> None:
    model = tiny_transformer("wan")
    with BASE.apply(model) as cached:
        schedulers = {name: FlowMatchEulerDiscreteScheduler() for name in "ab"}
        for scheduler in schedulers.values():
            scheduler.set_timesteps(4)

        def step(name: str, at: int) -> None:
            scheduler = schedulers[name]
            with torch.no_grad(), cached.run(steps=4, id=name, scheduler=scheduler):
                made = inputs("wan", at, 4, seed=ord(name))
                output = model(**made, return_dict=False)[0]
                scheduler.step(output, scheduler.timesteps[at], made["hidden_states"])

        for at in range(4):
            for name in "ab":
                thread = threading.Thread(target=step, args=(name, at))
                thread.start()
                thread.join()
        for run in (0, 1):
            assert [(s.step, s.outcome[0]) for s in cached.trace.steps(run=run)] == list(enumerate("crrr"))
        assert cached.held_bytes() == 0


def test_owners_are_never_given_twice() -> None:
    """The system gives the ident of a thread that has ended to the next one."""
    numbers: list[int] = []
    for _ in range(20):
        thread = threading.Thread(target=lambda: numbers.append(current_owner().number))
        thread.start()
        thread.join()
    assert len(set(numbers)) == 20
    assert current_owner() is current_owner()
    assert current_owner().alive()


def test_a_thread_that_ended_leaves_its_run_to_nobody() -> None:
    model = tiny_transformer("wan")
    with evolve(BASE, cfg=Cfg("fused")).apply(model, num_inference_steps=6) as cached:

        def begin(seed: int) -> None:
            with torch.no_grad():
                for step in range(2):
                    model(**inputs("wan", step, 6, seed=seed))

        for seed in range(4):
            thread = threading.Thread(target=begin, args=(seed,))
            thread.start()
            thread.join()
        outcomes = ["".join(s.outcome[0] for s in cached.trace.steps(run=run)) for run in range(4)]
        assert outcomes == ["cr"] * 4
