"""What both sides of the frontier share: the samples, the count of executed blocks, and how a row is measured."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from attrs import define, field, frozen
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cachedsl.measure.digits import NUM_INFERENCE_STEPS, DigitReader, Images, sample
from cachedsl.measure.images import psnr

STEPS = NUM_INFERENCE_STEPS
TARGETS = (0.6, 0.4, 0.25)
SLACK = 0.02
"""A target fraction counts as met up to this much above it."""

Attach = Callable[[Any], AbstractContextManager[Any]]


@frozen
class Setup:
    """Which images are drawn: labels 0 to 9 in turn, from the noise of one seed."""

    samples: int
    seed: int

    @property
    def labels(self) -> list[int]:
        return [i % 10 for i in range(self.samples)]

    def draw(self, pipe: Any, steps: int = STEPS) -> Images:
        return sample(pipe, self.labels, seed=self.seed, steps=steps)


@define
class Counter:
    """Executions of transformer blocks, and calls of the transformer."""

    blocks: int
    executed: int = 0
    calls: int = 0

    @property
    def fraction(self) -> float:
        return self.executed / (self.blocks * self.calls)


@contextmanager
def counting(transformer: Any) -> Iterator[Counter]:
    """Count by forward hooks on the model's own blocks, whoever calls them or does not."""
    counter = Counter(len(transformer.transformer_blocks))

    def executed(*_: Any) -> None:
        counter.executed += 1

    def called(*_: Any) -> None:
        counter.calls += 1

    handles = [block.register_forward_hook(executed) for block in transformer.transformer_blocks]
    handles.append(transformer.register_forward_hook(called))
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()


@frozen(eq=False)
class Measured:
    """One run. `fraction` is executed blocks out of blocks times calls; `psnr` is against the uncached images."""

    images: Images
    psnr: float
    fraction: float
    seconds: float


def measure(pipe: Any, attach: Attach | None, setup: Setup, reference: Images, steps: int = STEPS) -> Measured:
    """Draw the samples once, under what `attach` attaches to the pipeline."""
    with counting(pipe.transformer) as counter:
        if attach is None:
            images, seconds = _timed(pipe, setup, steps)
        else:
            with attach(pipe):
                images, seconds = _timed(pipe, setup, steps)
    return Measured(images, psnr(images, reference), counter.fraction, seconds)


def _timed(pipe: Any, setup: Setup, steps: int) -> tuple[Images, float]:
    started = time.perf_counter()
    images = setup.draw(pipe, steps)
    return images, time.perf_counter() - started


@frozen
class Entry:
    """One line of the report before it is measured; `head` goes into its row as it is.

    Attributes:
        head: `group`, `name`, and whatever says what was run.
        attach: what caches; None is uncached.
        steps: `num_inference_steps`.
    """

    head: dict[str, Any]
    attach: Attach | None = None
    steps: int = STEPS


@define
class _Log:
    """What the rounds of one entry gave."""

    entry: Entry
    first: Measured | None = None
    seconds: list[float] = field(factory=list)
    ratios: list[float] = field(factory=list)
    error: str | None = None


def measure_entries(
    pipe: Any,
    entries: list[Entry],
    setup: Setup,
    *,
    repeats: int = 1,
    on_run: Callable[[str], None] = lambda name: None,
) -> tuple[list[dict[str, Any]], Images]:
    """Measure every entry `repeats` times, the uncached pipeline at the head of each round.

    Args:
        pipe: a `DiTPipeline` of digits.
        entries: what to run.
        setup: the samples.
        repeats: rounds over all entries; the time ratio is the median of the rounds' own.
        on_run: called with the name of what is about to run.

    Returns:
        The rows, `uncached` first, and the uncached images. An entry that cannot run has `error` in place of numbers.
    """
    reader, warm_up = DigitReader(), Setup(1, setup.seed)
    warm_up.draw(pipe, steps=2)  # first-use costs of the libraries are nobody's
    reference = setup.draw(pipe)
    logs = [_Log(Entry({"group": "uncached", "name": "uncached"})), *map(_Log, entries)]
    for _ in range(repeats):
        uncached = 0.0
        for log in logs:
            if log.error is not None:
                continue
            on_run(log.entry.head["name"])
            try:
                measured = measure(pipe, log.entry.attach, setup, reference, log.entry.steps)
            except Exception as error:
                log.error = first_line(error)
                continue
            uncached = uncached or measured.seconds
            log.first = log.first or measured
            log.seconds.append(measured.seconds)
            log.ratios.append(uncached / measured.seconds)
    return [_row(log, reader, setup) for log in logs], reference


def _row(log: _Log, reader: DigitReader, setup: Setup) -> dict[str, Any]:
    if log.first is None:
        return {**log.entry.head, "error": log.error}
    target = log.entry.head.get("target")
    fraction = log.first.fraction * log.entry.steps / STEPS
    return {
        **log.entry.head,
        "computed_fraction": fraction,
        "met": target is None or meets(fraction, target),
        "psnr": finite(log.first.psnr),
        "time_ratio": statistics.median(log.ratios),
        "time_ratios": log.ratios,
        "seconds": min(log.seconds),
        "accuracy": reader.accuracy(log.first.images, setup.labels),
    }


@contextmanager
def progressing(side: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show how far `total` runs have come; gives what is to be called with the name of each."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task(side, total=total)

        def on_run(name: str) -> None:
            progress.update(task, advance=1, description=f"{side}: {name[:50]}")

        yield on_run


def meets(fraction: float, target: float) -> bool:
    """Whether a computed fraction counts as the target's."""
    return fraction <= target + SLACK + 1e-9


def finite(value: float) -> float | None:
    """Return None for infinity, which JSON does not have."""
    return value if np.isfinite(value) else None


def first_line(error: Exception) -> str:
    """Return the class of an error and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def machine() -> dict[str, Any]:
    """Say what was measured on, and with which versions."""
    versions = {"python": platform.python_version()}
    for package in ("torch", "diffusers", "cache-dit", "numpy", "cachedsl"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "versions": versions,
    }
