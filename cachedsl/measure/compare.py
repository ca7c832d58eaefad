"""Run one pipeline uncached and under policies, in one process, and compare."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import frozen

from cachedsl.language.policy import Policy
from cachedsl.measure.digits import DigitReader, Images, sample
from cachedsl.measure.images import psnr


@frozen(eq=False)
class Row:
    """What one policy made of the samples. `time_ratio` is uncached time over this time, within this process."""

    name: str
    images: Images
    computed_fraction: float
    seconds: float
    time_ratio: float
    psnr: float
    accuracy: float
    warnings: tuple[str, ...] = ()


def compare(
    pipe: Any,
    policies: list[Policy],
    labels: list[int],
    *,
    steps: int,
    seed: int = 0,
    on_start: Callable[[str], None] = lambda name: None,
    on_step: Callable[[], None] = lambda: None,
    on_end: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Sample the same labels from the same noise, uncached first, then once under each policy.

    Args:
        pipe: a `DiTPipeline` of digits.
        policies: what to attach, one after the other.
        labels: one digit each.
        steps: `num_inference_steps`.
        seed: of the starting noise.
        on_start: called with the name of what is about to run.
        on_step: called after every transformer call.
        on_end: called when it has run.

    Returns:
        One row for `uncached`, then one for each policy.
    """
    reader = DigitReader()
    sample(pipe, labels, seed=seed, steps=2)  # the first run of a batch this large is slower, whoever makes it
    handle = pipe.transformer.register_forward_hook(lambda *_: on_step())
    rows: list[Row] = []
    try:
        for policy in (None, *policies):
            on_start(policy.name if policy else "uncached")
            images, seconds, fraction, warnings = _timed(pipe, policy, labels, steps, seed)
            first = rows[0] if rows else None
            rows.append(
                Row(
                    name=policy.name if policy else "uncached",
                    images=images,
                    computed_fraction=fraction,
                    seconds=seconds,
                    time_ratio=first.seconds / seconds if first else 1.0,
                    psnr=psnr(images, first.images) if first else float("inf"),
                    accuracy=reader.accuracy(images, labels),
                    warnings=warnings,
                )
            )
            on_end()
    finally:
        handle.remove()
    return rows


def _timed(
    pipe: Any, policy: Policy | None, labels: list[int], steps: int, seed: int
) -> tuple[Images, float, float, tuple[str, ...]]:
    if policy is None:
        started = time.perf_counter()
        images = sample(pipe, labels, seed=seed, steps=steps)
        return images, time.perf_counter() - started, 1.0, ()
    with policy.apply(pipe) as cached:
        started = time.perf_counter()
        images = sample(pipe, labels, seed=seed, steps=steps)
        seconds = time.perf_counter() - started
        summary = cached.summary()
    return images, seconds, summary.computed_fraction, summary.warnings
