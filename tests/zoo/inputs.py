"""The sizes of the zoo's models, and the inputs that many of them share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch

from tests.tiny import _smooth
from tests.zoo.base import latent, noise, timestep

HIDDEN = 32
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}
CHANNELS = 4
SIDE = 8  # latent height and width
GRID = SIDE // 2  # image tokens of a side, where a token is 2x2 latents
PATCHES = GRID * GRID
FRAMES = 2
TEXT = 6  # tokens
TEXT_DIM = 16


def prompt(tokens: int = TEXT, dim: int = TEXT_DIM, role: int = 1) -> torch.Tensor:
    return noise(1, tokens, dim, role=role)


def prompt_mask(tokens: int = TEXT) -> torch.Tensor:
    """Return a prompt's mask whose last token is padding."""
    return torch.tensor([[1] * (tokens - 1) + [0]])


def second_prompt() -> dict[str, Any]:
    """Hunyuan's second text of 4 tokens, in front of the first one."""
    return {"encoder_hidden_states_2": prompt(4, dim=8, role=2), "encoder_attention_mask_2": prompt_mask(4)}


def image_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """Image latents, text, a timestep."""
    return {
        "hidden_states": latent((1, CHANNELS, SIDE, SIDE), step, total),
        "encoder_hidden_states": prompt(),
        "timestep": timestep(step, total),
        **more,
    }


def video_inputs(step: int, total: int, frames: int = FRAMES, **more: Any) -> dict[str, Any]:
    """Video latents, text, a timestep."""
    moving = latent((1, CHANNELS, frames, SIDE, SIDE), step, total)
    return {**image_inputs(step, total), "hidden_states": moving, **more}


def packed_inputs(step: int, total: int) -> dict[str, Any]:
    """Packed image latents, text, a timestep in (0, 1]."""
    return {
        "hidden_states": latent((1, PATCHES, CHANNELS * 4), step, total),
        "encoder_hidden_states": prompt(),
        "timestep": timestep(step, total, scale=1.0),
    }


def places(first: int = 0) -> torch.Tensor:
    """Return the positions of an image's tokens on three axes, all at `first` on the first one."""
    rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    return torch.stack([torch.full_like(rows, first), rows, columns], dim=-1).reshape(-1, 3).float()


def residuals(count: int, *shape: int) -> list[torch.Tensor]:
    """What a ControlNet adds behind the blocks."""
    return [0.2 * noise(*shape, role=50 + i) for i in range(count)]


def slow(linear: Any, scale: float = 400.0) -> None:
    """Make a time embedder that is no `TimestepEmbedding` smooth too."""
    _smooth(cast(Any, SimpleNamespace(linear_1=linear)), scale)
