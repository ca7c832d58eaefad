"""More ways to call the Kandinsky 6 and JoyImage classes: as their pipelines do with images or guidance."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers import (
    JoyImageEditPlusTransformer3DModel,
    Kandinsky6SRTransformer3DModel,
    Kandinsky6Transformer3DModel,
)
from torch import nn

from tests.zoo.base import Entry, latent, make, noise, timestep

HIDDEN = 32
CHANNELS = 4
SIDE = 8  # latent height and width
FRAMES = 2
TEXT = 6  # tokens
TEXT_DIM = 16
KANDINSKY = {"time_dim": 16, "model_dim": HIDDEN, "ff_dim": 2 * HIDDEN, "axes_dims": (4, 6, 6), "num_visual_blocks": 6}


def _kandinsky6(**config: Any) -> nn.Module:
    """Without `model_dim_a`, both streams are equally wide."""
    return make(
        Kandinsky6Transformer3DModel,
        **KANDINSKY,
        in_visual_dim=CHANNELS,
        out_visual_dim=CHANNELS,
        in_text_dim=TEXT_DIM,
        in_text_dim2=8,
        num_text_blocks=4,
        in_audio_dim=CHANNELS,
        out_audio_dim=CHANNELS,
        **config,
    )


def _kandinsky6_inputs(step: int, total: int, audio: int, **more: Any) -> dict[str, Any]:
    """`audio` tokens; no condition but zeros."""
    zeros = torch.zeros(1, FRAMES, SIDE, SIDE, CHANNELS + 1)
    return {
        "hidden_states": torch.cat([latent((1, FRAMES, SIDE, SIDE, CHANNELS), step, total), zeros], dim=-1),
        "encoder_hidden_states": noise(1, TEXT, TEXT_DIM, role=1),
        "pooled_projections": noise(1, 8, role=2),
        "timestep": timestep(step, total),
        "audio_hidden_states": latent((1, audio, CHANNELS), step, total, role=1),
        **more,
    }


def _kandinsky6_i2v(step: int, total: int) -> dict[str, Any]:
    """The given frame stands behind the others, with the first one's place and a token type of its own."""
    inputs = _kandinsky6_inputs(step, total, audio=5)
    given = noise(1, 1, SIDE, SIDE, CHANNELS, role=3)
    condition = torch.cat([torch.zeros_like(given), torch.ones_like(given[..., :1])], dim=-1)
    return {
        **inputs,
        "hidden_states": torch.cat([inputs["hidden_states"], torch.cat([given, condition], dim=-1)], dim=1),
        "visual_rope_pos": (torch.tensor([0, 1, 0]), torch.arange(4), torch.arange(4)),
        "visual_token_type_ids": torch.tensor([[0] * FRAMES + [1]]),
    }


def _kandinsky6_sr() -> nn.Module:
    return make(
        Kandinsky6SRTransformer3DModel,
        **KANDINSKY,
        in_visual_dim=CHANNELS,
        out_visual_dim=CHANNELS,
        nabla_window=(1, 1, 1),
    )


def _kandinsky6_sr_tiles(step: int, total: int) -> dict[str, Any]:
    """Two tiles in a batch, of 8x16 tokens a frame, without an anchor."""
    shape = (2, FRAMES, SIDE, 2 * SIDE)
    moving = latent((*shape, CHANNELS), step, total)
    return {
        "hidden_states": torch.cat([moving, torch.zeros(*shape, CHANNELS + 1)], dim=-1),
        "timestep": timestep(step, total, batch=2),
    }


def _joy_image_plus() -> nn.Module:
    return make(
        JoyImageEditPlusTransformer3DModel,
        in_channels=CHANNELS,
        hidden_size=HIDDEN,
        num_attention_heads=2,
        text_dim=TEXT_DIM,
        mlp_width_ratio=2.0,
        num_layers=6,
        rope_dim_list=[4, 6, 6],
    )


def _joy_image_guidance(step: int, total: int) -> dict[str, Any]:
    """Both branches in one batch, their prompts of different lengths; two images to edit, of different sizes."""
    patch = (CHANNELS, 1, 2, 2)
    patches = torch.cat([latent((1, 16, *patch), step, total), noise(1, 12, *patch, role=2)], dim=1)
    return {
        "hidden_states": torch.cat([patches] * 2),
        "timestep": timestep(step, total, batch=2),
        "encoder_hidden_states": noise(2, TEXT, TEXT_DIM, role=1),
        "encoder_hidden_states_mask": torch.tensor([[1] * 3 + [0] * (TEXT - 3), [1] * TEXT]),
        "shape_list": [[(1, 4, 4), (1, 2, 4), (1, 2, 2)]] * 2,
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("Kandinsky6SRTransformer3DModel/tiles", _kandinsky6_sr, _kandinsky6_sr_tiles),
    Entry(
        "Kandinsky6Transformer3DModel/i2v",
        partial(_kandinsky6, model_dim_a=16, ff_dim_a=32, visual_token_type_num_embeddings=2),
        _kandinsky6_i2v,
    ),
    Entry(
        "Kandinsky6Transformer3DModel/alike",  # both streams of one shape, 32 tokens each
        _kandinsky6,
        partial(_kandinsky6_inputs, audio=32),
    ),
    Entry("JoyImageEditPlusTransformer3DModel/guidance", _joy_image_plus, _joy_image_guidance),
)
