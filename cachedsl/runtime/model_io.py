"""Read what the transformer itself was called with, and what it returned."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from cachedsl.matching.adapter import InputAdapter
from cachedsl.runtime.errors import PatternMismatch
from cachedsl.signals import ModelInput


def read_model_input(
    module: nn.Module, adapter: InputAdapter, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> ModelInput:
    """Return the noisy latent of a transformer's call, and the grid of its tokens where the adapter says how.

    Raises:
        PatternMismatch: the argument that the adapter names is no tensor.
    """
    given = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
    return model_input(given, adapter, type(module).__name__)


def model_input(given: Mapping[str, Any], adapter: InputAdapter, label: str) -> ModelInput:
    """Return the same from the arguments by name, of a model called `label`. Raises likewise."""
    latent = given.get(adapter.latent)
    if isinstance(latent, (list, tuple)) and (parts := list(_tensors(latent))):
        latent = torch.cat([part.flatten() for part in parts])[None, None]
    if not isinstance(latent, torch.Tensor):
        raise PatternMismatch(
            f"{label}: the adapter says that `{adapter.latent}` is the noisy latent, but the call has "
            f"{'none' if latent is None else f'a {type(latent).__name__}'}; correct `input` in the adapter"
        )
    positions = given.get(adapter.positions) if adapter.positions else None
    return ModelInput(latent, None, adapter.axes, lambda: _grid(positions, latent), adapter.positions or "")


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of a list of them, or of lists: an image, and those that it goes by."""
    if isinstance(value, torch.Tensor):
        yield value
    for part in value if isinstance(value, (list, tuple)) else ():
        yield from _tensors(part)


def _grid(positions: Any, latent: torch.Tensor) -> tuple[int, int] | None:
    """Return height and width from `(tokens, 2 or more)` positions, None where they are not those of all tokens."""
    if not isinstance(positions, torch.Tensor):
        return None
    every = positions.reshape(-1, positions.shape[-1]).long()[: latent.shape[1]]
    first = (every[:, :-2] == every[:1, :-2]).all(-1)  # what stands behind it, such as a reference image, has others
    corners = torch.where(first[:, None], every[:, -2:], every[:1, -2:])
    sizes = corners.amax(0) - corners.amin(0) + 1
    height, width, tokens = (int(size) for size in torch.cat([sizes, first.cumprod(0).sum()[None]]).tolist())
    return (height, width) if height * width == tokens else None


def first_tensor(output: Any) -> torch.Tensor:
    """Return the prediction in what a transformer returned: a tensor, or the first of a tuple or an output object.

    Raises:
        PatternMismatch: there is no tensor in it.
    """
    value = output
    while not isinstance(value, torch.Tensor):
        if isinstance(value, (list, tuple)) and len(value) > 1 and all(isinstance(v, torch.Tensor) for v in value):
            return torch.cat([part.flatten() for part in value]) if isinstance(value, list) else value[0]
        try:
            value = value[0]
        except (TypeError, IndexError, KeyError):
            raise PatternMismatch(
                f"the transformer returned a {type(output).__name__} without a tensor, which reuse.signal: "
                "transform_rate cannot compare; take another signal"
            ) from None
    return value
