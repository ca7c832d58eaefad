"""Kandinsky 5 and 6, which have channels last: images, videos, videos with sound, and super-resolution."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from diffusers import Kandinsky5Transformer3DModel, Kandinsky6SRTransformer3DModel, Kandinsky6Transformer3DModel
from diffusers.models.attention_dispatch import AttentionBackendName
from torch import nn

from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.inputs import CHANNELS, FRAMES, HIDDEN, SIDE, TEXT, TEXT_DIM, prompt, prompt_mask, slow

# Kandinsky 5


KANDINSKY = {"time_dim": 16, "model_dim": HIDDEN, "ff_dim": 2 * HIDDEN, "axes_dims": (4, 6, 6)}
KANDINSKY_TEXT = {"in_text_dim": TEXT_DIM, "in_text_dim2": 8, "num_text_blocks": 4, "num_visual_blocks": 6}


def _kandinsky5(**config: Any) -> nn.Module:
    sizes = {"in_visual_dim": CHANNELS, "out_visual_dim": CHANNELS}
    model = make(Kandinsky5Transformer3DModel, **KANDINSKY, **KANDINSKY_TEXT, **sizes, **config)
    slow(cast(Any, model).time_embeddings.in_layer, 400.0)
    return model


def _kandinsky5_nabla() -> nn.Module:
    """Sparse attention, for which a pipeline's user has to choose the backend."""
    model = _kandinsky5(attention_type="nabla")
    for block in cast(Any, model).visual_transformer_blocks:
        block.self_attention.processor._attention_backend = AttentionBackendName.FLEX
    return model


def _kandinsky_latents(step: int, total: int, cond: bool = False, side: int = SIDE) -> torch.Tensor:
    """Latents, and where there is a condition its latents and mask behind them."""
    moving = latent((1, FRAMES, side, side, CHANNELS), step, total)
    return torch.cat([moving, noise(1, FRAMES, side, side, CHANNELS + 1, role=2)], dim=-1) if cond else moving


def _kandinsky5_inputs(step: int, total: int, cond: bool = False, side: int = SIDE, **more: Any) -> dict[str, Any]:
    return {
        "hidden_states": _kandinsky_latents(step, total, cond, side),
        "encoder_hidden_states": prompt(),
        "timestep": timestep(step, total),
        "pooled_projections": noise(1, 8, role=3),
        "visual_rope_pos": (torch.arange(FRAMES), torch.arange(side // 2), torch.arange(side // 2)),
        "text_rope_pos": torch.arange(TEXT),
        "scale_factor": (1.0, 2.0, 2.0),
        **more,
    }


# Groups of 8x8 tokens, of which each frame has one
NABLA: dict[str, Any] = {"sta_mask": torch.eye(FRAMES).bool()[None, None], "to_fractal": True, "P": 0.9}


# Kandinsky 6


def _kandinsky6() -> nn.Module:
    """As the released models are configured, the audio stream narrower than the video's."""
    return make(
        Kandinsky6Transformer3DModel,
        **KANDINSKY,
        **KANDINSKY_TEXT,
        in_visual_dim=CHANNELS,
        out_visual_dim=CHANNELS,
        in_audio_dim=CHANNELS,
        out_audio_dim=CHANNELS,
        model_dim_a=HIDDEN // 2,
        ff_dim_a=HIDDEN,
        text_token_padding=True,
        ca_rope=True,
        cross_gates=True,
        fix_modulation=True,
    )


def _kandinsky6_inputs(step: int, total: int, audio: bool = True) -> dict[str, Any]:
    return {
        "hidden_states": _kandinsky_latents(step, total, cond=True),
        "encoder_hidden_states": prompt(),
        "pooled_projections": noise(1, 8, role=3),
        "timestep": timestep(step, total),
        "audio_hidden_states": latent((1, 5, CHANNELS), step, total, role=1) if audio else None,
        "encoder_attention_mask": prompt_mask().bool(),
    }


def _kandinsky6_alike(**config: Any) -> nn.Module:
    """Without `model_dim_a`, both streams are equally wide."""
    return make(
        Kandinsky6Transformer3DModel,
        **KANDINSKY,
        **KANDINSKY_TEXT,
        in_visual_dim=CHANNELS,
        out_visual_dim=CHANNELS,
        in_audio_dim=CHANNELS,
        out_audio_dim=CHANNELS,
        **config,
    )


def _kandinsky6_free_inputs(step: int, total: int, audio: int, **more: Any) -> dict[str, Any]:
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
    inputs = _kandinsky6_free_inputs(step, total, audio=5)
    given = noise(1, 1, SIDE, SIDE, CHANNELS, role=3)
    condition = torch.cat([torch.zeros_like(given), torch.ones_like(given[..., :1])], dim=-1)
    return {
        **inputs,
        "hidden_states": torch.cat([inputs["hidden_states"], torch.cat([given, condition], dim=-1)], dim=1),
        "visual_rope_pos": (torch.tensor([0, 1, 0]), torch.arange(4), torch.arange(4)),
        "visual_token_type_ids": torch.tensor([[0] * FRAMES + [1]]),
    }


# Kandinsky 6 for super-resolution


def _kandinsky6_sr(channels: int = 2 * CHANNELS) -> nn.Module:
    """Its attention wants the tokens of a frame in groups of 8x8."""
    return make(
        Kandinsky6SRTransformer3DModel,
        **KANDINSKY,
        in_visual_dim=CHANNELS,
        out_visual_dim=channels,
        num_visual_blocks=6,
        nabla_window=(1, 1, 1),
    )


def _kandinsky6_sr_inputs(step: int, total: int) -> dict[str, Any]:
    return {"hidden_states": _kandinsky_latents(step, total, cond=True), "timestep": timestep(step, total)}


def _kandinsky6_sr_tiles(step: int, total: int) -> dict[str, Any]:
    """Two tiles in a batch, of 8x16 tokens a frame, without an anchor."""
    shape = (2, FRAMES, SIDE, 2 * SIDE)
    moving = latent((*shape, CHANNELS), step, total)
    return {
        "hidden_states": torch.cat([moving, torch.zeros(*shape, CHANNELS + 1)], dim=-1),
        "timestep": timestep(step, total, batch=2),
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("Kandinsky5Transformer3DModel", _kandinsky5, _kandinsky5_inputs),
    Entry(
        "Kandinsky5Transformer3DModel/i2v",
        partial(_kandinsky5, visual_cond=True),
        partial(_kandinsky5_inputs, cond=True),
    ),
    Entry(
        "Kandinsky5Transformer3DModel/nabla",
        _kandinsky5_nabla,
        partial(_kandinsky5_inputs, side=2 * SIDE, sparse_params=NABLA),
    ),
    Entry("Kandinsky6SRTransformer3DModel", _kandinsky6_sr, _kandinsky6_sr_inputs),
    Entry("Kandinsky6SRTransformer3DModel/tiles", partial(_kandinsky6_sr, CHANNELS), _kandinsky6_sr_tiles),
    Entry("Kandinsky6Transformer3DModel", _kandinsky6, _kandinsky6_inputs),
    Entry("Kandinsky6Transformer3DModel/video_only", _kandinsky6, partial(_kandinsky6_inputs, audio=False)),
    Entry(
        "Kandinsky6Transformer3DModel/i2v",
        partial(_kandinsky6_alike, model_dim_a=16, ff_dim_a=32, visual_token_type_num_embeddings=2),
        _kandinsky6_i2v,
    ),
    Entry(
        "Kandinsky6Transformer3DModel/alike",  # both streams of one shape, 32 tokens each
        _kandinsky6_alike,
        partial(_kandinsky6_free_inputs, audio=32),
    ),
)
