"""Video transformers that carry the video alone and read the text.

Allegro, Cosmos, Helios, Latte, LTX, Sana's video model; Wan and its relatives are in `video_wan`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers import (
    AllegroTransformer3DModel,
    CosmosTransformer3DModel,
    HeliosTransformer3DModel,
    LatteTransformer3DModel,
    LTXVideoTransformer3DModel,
)
from diffusers.models.embeddings import get_3d_rotary_pos_embed_allegro
from diffusers.models.transformers.transformer_sana_video import SanaVideoTransformer3DModel
from torch import nn

from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.image_cross_attention import sana
from tests.zoo.inputs import (
    CHANNELS,
    FRAMES,
    GRID,
    HEADS,
    HIDDEN,
    PATCHES,
    SIDE,
    TEXT_DIM,
    prompt,
    prompt_mask,
    residuals,
    video_inputs,
)

# Allegro


def _allegro() -> nn.Module:
    return make(
        AllegroTransformer3DModel,
        num_attention_heads=2,
        attention_head_dim=24,
        num_layers=6,
        cross_attention_dim=48,
        sample_height=SIDE,
        sample_width=SIDE,
        sample_frames=FRAMES,
        caption_channels=TEXT_DIM,
    )


def _allegro_inputs(step: int, total: int) -> dict[str, Any]:
    """The rotary embeddings are the caller's: a third of a head's channels each for time, height and width."""
    side = SIDE // 2
    *freqs, times, rows, columns = get_3d_rotary_pos_embed_allegro(24, ((0, 0), (side, side)), (side, side), FRAMES)
    places = torch.cartesian_prod(*(axis.long() for axis in (times, rows, columns)))
    return video_inputs(step, total, image_rotary_emb=(freqs, places.T[:, None]), encoder_attention_mask=prompt_mask())


# Cosmos


def _cosmos(**config: Any) -> nn.Module:
    """Without the padding mask, which needs torchvision."""
    return make(
        CosmosTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS + 1,
        out_channels=CHANNELS,
        num_layers=6,
        text_embed_dim=TEXT_DIM,
        adaln_lora_dim=8,
        max_size=(4, SIDE, SIDE),
        concat_padding_mask=False,
        **config,
    )


def _cosmos_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """A timestep from 0 to 1, and a mask of the frames that are given."""
    mask = torch.zeros(1, 1, FRAMES, SIDE, SIDE)
    return video_inputs(step, total, timestep=timestep(step, total, scale=1.0), fps=16, condition_mask=mask, **more)


def _cosmos25_inputs(step: int, total: int) -> dict[str, Any]:
    """A timestep per frame, the first of which is given, and the features of an image beside the text."""
    times = timestep(step, total, scale=1.0).repeat(FRAMES)
    times[0] = 0.1
    inputs = _cosmos_inputs(step, total, encoder_hidden_states=(prompt(dim=24), noise(1, 5, 8, role=2)))
    inputs["condition_mask"][:, :, 0] = 1
    return {**inputs, "timestep": times.reshape(1, 1, FRAMES, 1, 1)}


COSMOS25 = {
    "extra_pos_embed_type": None,
    "use_crossattn_projection": True,
    "crossattn_proj_in_channels": 24,
    "encoder_hidden_states_channels": TEXT_DIM,
    "img_context_dim_in": 8,
    "img_context_num_tokens": 5,
    "img_context_dim_out": HIDDEN,
}
COSMOS_CONTROL: dict[str, Any] = {"block_controlnet_hidden_states": residuals(3, 1, FRAMES * PATCHES, HIDDEN)}


# Helios


def _helios(**config: Any) -> nn.Module:
    return make(
        HeliosTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=64,
        ffn_dim=2 * HIDDEN,
        num_layers=6,
        rope_dim=(4, 6, 6),
        **config,
    )


def _helios_inputs(step: int, total: int) -> dict[str, Any]:
    """With a history of earlier frames at three scales: 16 + 4 + 1 tokens before those of the latents."""
    return video_inputs(
        step,
        total,
        indices_hidden_states=torch.arange(7, 7 + FRAMES)[None],
        indices_latents_history_short=torch.tensor([[6]]),
        indices_latents_history_mid=torch.tensor([[4, 5]]),
        indices_latents_history_long=torch.tensor([[0, 1, 2, 3]]),
        latents_history_short=noise(1, CHANNELS, 1, SIDE, SIDE, role=2),
        latents_history_mid=noise(1, CHANNELS, 2, SIDE, SIDE, role=3),
        latents_history_long=noise(1, CHANNELS, 4, SIDE, SIDE, role=4),
    )


# Latte


def _latte() -> nn.Module:
    return make(
        LatteTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=2 * CHANNELS,
        num_layers=5,
        cross_attention_dim=HIDDEN,
        attention_bias=True,
        sample_size=SIDE,
        patch_size=2,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=TEXT_DIM,
        video_length=FRAMES,
    )


def _latte_inputs(step: int, total: int, temporal: bool = True) -> dict[str, Any]:
    return {**video_inputs(step, total), "enable_temporal_attentions": temporal}


# LTX


def _ltx() -> nn.Module:
    return make(
        LTXVideoTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        cross_attention_dim=HIDDEN,
        caption_channels=TEXT_DIM,
        num_layers=5,
    )


def ltx_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, FRAMES * PATCHES, CHANNELS), step, total),
        "encoder_hidden_states": prompt(),
        "timestep": timestep(step, total),
        "encoder_attention_mask": prompt_mask(),
        "num_frames": FRAMES,
        "height": GRID,
        "width": GRID,
    }


def _frame_timesteps(step: int, total: int) -> torch.Tensor:
    """One timestep per token: the first frame is given."""
    each = timestep(step, total)[:, None].repeat(1, FRAMES * PATCHES)
    each[:, :PATCHES] = 0
    return each


def _ltx_condition_inputs(step: int, total: int) -> dict[str, Any]:
    inputs = ltx_inputs(step, total)
    grid = torch.meshgrid(torch.arange(FRAMES) * 8, torch.arange(GRID) * 32, torch.arange(GRID) * 32, indexing="ij")
    return {
        **{key: value for key, value in inputs.items() if key not in ("num_frames", "height", "width")},
        "timestep": _frame_timesteps(step, total)[..., None],
        "video_coords": torch.stack(grid).reshape(1, 3, -1).float(),
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("AllegroTransformer3DModel", _allegro, _allegro_inputs),
    Entry("CosmosTransformer3DModel", _cosmos, _cosmos_inputs),
    Entry("CosmosTransformer3DModel/2.5", partial(_cosmos, **COSMOS25), _cosmos25_inputs),
    Entry(
        "CosmosTransformer3DModel/controlnet",
        partial(_cosmos, controlnet_block_every_n=2),
        partial(_cosmos_inputs, **COSMOS_CONTROL),
    ),
    Entry("HeliosTransformer3DModel", _helios, _helios_inputs),
    Entry("HeliosTransformer3DModel/distilled", partial(_helios, is_amplify_history=True), _helios_inputs),
    Entry(
        "HeliosTransformer3DModel/first_chunk",
        partial(_helios, guidance_cross_attn=False, zero_history_timestep=False),
        video_inputs,
    ),
    Entry("LTXVideoTransformer3DModel", _ltx, ltx_inputs),
    Entry("LTXVideoTransformer3DModel/condition", _ltx, _ltx_condition_inputs),
    Entry("LatteTransformer3DModel", _latte, _latte_inputs),
    Entry("LatteTransformer3DModel/spatial", _latte, partial(_latte_inputs, temporal=False)),
    Entry("SanaVideoTransformer3DModel", partial(sana, SanaVideoTransformer3DModel), video_inputs),
)
