"""Tiny models for code blocks of cache-dit's guides, under names that stand for those that the guides load."""

from __future__ import annotations

from typing import Any

import torch

from cachedsl import attached
from tests import tiny

RUNS: list[dict[str, Any]] = []
"""What became of each run: the policy, None where nothing is cached, and the reused steps of each list."""

_MADE: dict[str, Any] = {}


def _pipeline(name: str, blocks: int) -> Any:
    """Return a pipeline, the same one each time: a block leaves it as it was, or the next one fails."""
    key = f"{name}-{blocks}"
    if key not in _MADE:
        _MADE[key] = tiny.tiny_pipeline(name, blocks=blocks)
    pipe = _MADE[key]
    for owner in (pipe, *(one for one in pipe.components.values() if isinstance(one, torch.nn.Module))):
        left = attached(owner)
        if left is not None:
            left.remove()
    return pipe


def flux(blocks: int = 10) -> Any:
    return _pipeline("flux", blocks)


def qwen_image() -> Any:
    return _pipeline("qwenimage", 9)


def wan22() -> Any:
    return _pipeline("wan22", 10)


def run(pipe: Any, steps: int = 11, **arguments: Any) -> torch.Tensor:
    """Call a pipeline as usual, and keep what became of it."""
    output = tiny.call(pipe, steps, **arguments)
    cached = attached(pipe) or attached(pipe.transformer)
    reused: dict[str, int] = {}
    if cached is not None:
        table = cached.summary()
        for branch in table.branches:
            name = f"{branch.transformer}.{branch.stack}"
            reused[name] = reused.get(name, 0) + branch.reused
    RUNS.append({"policy": None if cached is None else cached.policy, "reused": reused})
    return output
