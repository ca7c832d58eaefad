"""What a call was given, as far as it tells the calls of a step from those of the next, and of another image."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import nn

TIMESTEPS = ("timestep", "timesteps", "t")
"""What the transformers of diffusers call it."""

_SAMPLE = 256
_SAME_IMAGE = 0.3
"""Cosine of two latents below which they are of different noise; from step to step it is close to 1."""


@frozen(eq=False)
class Given:
    """One call's arguments, by content: nothing of them is held.

    Attributes:
        timestep: a copy of it.
        latent: what tells its content, and a few hundred of its elements.
        others: what tells the content of everything else.
    """

    timestep: Any
    latent: tuple[Any, torch.Tensor | None]
    others: tuple[Any, ...]

    @property
    def level(self) -> float:
        """The timestep as one number, the mean where tokens or samples have their own."""
        return float(self.timestep.double().mean() if isinstance(self.timestep, torch.Tensor) else self.timestep)

    def same_timestep(self, other: Given) -> bool:
        return alike(self.timestep, other.timestep)

    def same_latent(self, other: Given) -> bool:
        return alike(self.latent[0], other.latent[0])

    def same_image(self, other: Given) -> bool:
        """Tell whether the latents are near each other, as those of two steps are and those of two images are not."""
        mine, theirs = self.latent[1], other.latent[1]
        if mine is None or theirs is None or mine.shape != theirs.shape or mine.device != theirs.device:
            return False
        return bool(torch.nn.functional.cosine_similarity(mine, theirs, 0) > _SAME_IMAGE)


@torch.no_grad()
def read_given(module: nn.Module, latent: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Given | None:
    """Read a call of `module`; `latent` is the argument of that name, or else the first tensor.

    Returns:
        None where the call has no timestep.
    """
    try:
        given = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments if args else dict(kwargs)
    except TypeError:  # which the forward itself says better
        return None
    named = next((name for name in TIMESTEPS if isinstance(given.get(name), (int, float, torch.Tensor))), None)
    if named is None:
        return None
    timestep = given.pop(named)
    noisy = given.pop(latent if latent in given else _first_tensor(given), None)
    return Given(
        timestep.clone() if isinstance(timestep, torch.Tensor) else timestep,
        (_content(noisy), _sample(noisy)),
        tuple((name, _content(value)) for name, value in given.items()),
    )


def alike(one: Any, other: Any) -> bool:
    """Compare contents."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        both = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        return both and one.device == other.device and torch.equal(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(alike(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def _content(value: Any) -> Any:
    """Return what two values of the same content have in common, and others hardly."""
    if isinstance(value, torch.Tensor):
        real = torch.view_as_real(value) if value.is_complex() else value
        wide = torch.promote_types(real.dtype, torch.float32)
        sums = [real.sum(dtype=wide)]
        if real.is_floating_point() and real.numel():
            sums.append(torch.linalg.vector_norm(real, dtype=wide))
        return (tuple(value.shape), value.dtype, torch.stack(sums))
    if isinstance(value, Mapping):
        return tuple((str(key), _content(part)) for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_content(part) for part in value)
    return value if isinstance(value, (bool, int, float, str)) else type(value).__name__


def _sample(value: Any) -> torch.Tensor | None:
    parts = value if isinstance(value, (list, tuple)) else [value]
    if not parts or not isinstance(parts[0], torch.Tensor) or not parts[0].is_floating_point():
        return None
    flat = parts[0].detach().flatten()
    return flat[:: max(1, flat.numel() // _SAMPLE)][:_SAMPLE].float()


def _first_tensor(given: Mapping[str, Any]) -> str:
    return next((name for name, value in given.items() if isinstance(value, torch.Tensor)), "")
