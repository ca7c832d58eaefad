"""Pipelines made up for the tests: every call with what can be seen of it, and where it truly belongs."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

from attrs import evolve, frozen

from cachedsl.runtime.observation import CallContext, CallFingerprint, Observation, Origin, Schedule

SIZE = 64


@frozen
class Branch:
    """One call that a step makes: its name, its window, and the steps that it is made on."""

    name: str
    window: int = 0
    first: int = 0
    last: int = 10**9

    def on(self, step: int) -> bool:
        return self.first <= step <= self.last


@frozen
class Loop:
    """A pipeline's loop.

    Attributes:
        shows: what shows the step: the context's index, a scheduler that has one, one that has none, one that has one
            and stands still, or nothing, for a bare transformer.
        named: calls are made in a `cache_context`.
        steps: how many the loop makes.
        branches: the calls of a step, in order.
        offset: where in the full schedule they begin.
        says_begin: the pipeline sets the scheduler's begin index.
        image: cond's latent has an image in channels of its own, uncond's has zeros there.
        residuals: an argument changes at every step, as a ControlNet's residuals do.
        stop: after how many calls it is left.
        scale: what the pipeline makes of the scheduler's timestep.
        seed: of the image.
        number: of the table of timesteps.
    """

    shows: str
    named: bool
    steps: int
    branches: tuple[Branch, ...]
    offset: int = 0
    says_begin: bool = False
    image: bool = False
    residuals: bool = False
    stop: int | None = None
    scale: float = 1.0
    seed: int = 0
    number: int = 1

    @property
    def full(self) -> int:
        return self.steps + self.offset


@frozen
class Made:
    """One call: what is seen of it, and where it belongs; no step for one that is not the loop's."""

    seen: Observation
    step: int | None
    branch: Branch


def noise(*key: object) -> list[float]:
    source = random.Random(repr(key))
    return [source.gauss(0, 1) for _ in range(SIZE)]


def latent(loop: Loop, window: int, place: int) -> list[float]:
    """Return a latent on its way from noise to something else; `place` is the step in the full schedule."""
    angle = 0.5 * math.pi * place / loop.full
    start, end = noise(loop.seed, window, "start"), noise(loop.seed, window, "end")
    return [math.cos(angle) * a + math.sin(angle) * b for a, b in zip(start, end, strict=True)]


def fingerprint(loop: Loop, branch: Branch, step: int) -> CallFingerprint:
    place = loop.offset + step
    noisy = latent(loop, branch.window, place)
    parts: list[object] = [("first", tuple(noisy[:8])), ("channel", 0, sum(noisy))]
    sample = noisy
    if loop.image:
        image = noise(loop.seed, "image") if branch.name == "cond" else [0.0] * SIZE
        sample = noisy + image
        parts += [("last", tuple(image[-8:])), ("channel", 1, sum(image))] if branch.name == "cond" else []
    level = loop.scale * timesteps(loop)[place]
    others: list[tuple[str, object]] = [("prompt", (loop.seed, branch.name)), ("guidance", 3.5)]
    if loop.residuals:
        others.append(("residuals", (loop.seed, branch.window, step)))
    return CallFingerprint(level, level, (len(sample),), tuple(sample), tuple(sample), tuple(parts), tuple(others))


def timesteps(loop: Loop) -> tuple[float, ...]:
    return tuple(1000.0 * (1 - place / loop.full) ** 1.3 for place in range(loop.full))


def schedule(loop: Loop, made: int) -> Schedule | None:
    """Return what the scheduler shows after it has made so many steps."""
    if loop.shows == "nothing":
        return None
    index = loop.offset + made if made and loop.shows == "scheduler" else None
    begin = loop.offset if loop.says_begin else None
    return Schedule(loop.full, loop.number, index, loop.shows != "tables", begin, timesteps(loop))


def observe(loop: Loop, branch: Branch, step: int, origin: Origin = "loop") -> Observation:
    index = step if loop.shows == "context" else None
    context = CallContext(branch.name, index, None if index is None else loop.steps) if loop.named else None
    announced = None if loop.shows == "nothing" else loop.steps
    given = fingerprint(loop, branch, step)
    return Observation("transformer", 0, origin, context, schedule(loop, step), announced, given)


def calls(loop: Loop, extra: Sequence[tuple[int, Origin]] = ()) -> Iterator[Made]:
    """Yield the calls of one loop; `extra` says behind which of them something else calls the transformer."""
    made = 0
    for step in range(loop.steps):
        for branch in loop.branches:
            if not branch.on(step):
                continue
            if loop.stop is not None and made >= loop.stop:
                return
            yield Made(observe(loop, branch, step), step, branch)
            for behind, origin in extra:
                if behind == made:
                    other = evolve(loop, seed=loop.seed + 1000)
                    yield Made(observe(other, branch, min(step + 1, loop.steps - 1), origin), None, branch)
            made += 1
