"""What the zoo holds of a transformer class: how a tiny one is built, and what its forward is called with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import nn

from tests.tiny import GAIN, _smooth

from diffusers.models.embeddings import TimestepEmbedding  # isort: skip


@attrs.frozen
class Entry:
    """One transformer class of diffusers.

    Attributes:
        name: the class's name in diffusers, with `/variant` behind it for another way to call it.
        build: makes a tiny model with at least four blocks in every list; `finish` has made it ready.
        inputs: forward arguments at `step` of `total`, the same for the same arguments, drifting slowly with the step.
        prepare: called before each forward, where the class needs it.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int, int], dict[str, Any]]
    prepare: Callable[[nn.Module], None] = lambda model: None


def make(cls: Callable[..., nn.Module], **config: Any) -> nn.Module:
    """Build `cls` with random weights from a fixed seed, float32, in eval mode, without gradients, blocks that matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = cls(**config)
        for parameter in model.parameters():
            if parameter.ndim <= 1 or not bool(parameter.abs().sum()):  # what is initialised with zeros or ones
                parameter.data += 0.02 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight.data *= GAIN
        if isinstance(module, TimestepEmbedding):
            _smooth(module)
    return model.eval().requires_grad_(False)


def noise(*shape: int, role: int = 0) -> torch.Tensor:
    """Return standard normal noise, the same for the same shape and role."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1000 + role))


def latent(shape: tuple[int, ...], step: int, total: int, role: int = 0) -> torch.Tensor:
    """Return a latent of `shape`, batch and all, on a smooth path through noise."""
    angle = 0.5 * math.pi * step / total
    return math.cos(angle) * noise(*shape, role=10 + role) + math.sin(angle) * noise(*shape, role=20 + role)


def timestep(step: int, total: int, batch: int = 1, scale: float = 1000.0) -> torch.Tensor:
    """Return a float timestep `(batch,)` that falls from `scale` and never reaches 0."""
    return torch.full((batch,), scale * (1 - step / total))


def tensors(value: object) -> list[torch.Tensor]:
    """Return every tensor that a model returned, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors(part)]
