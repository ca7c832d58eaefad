"""Wan and the video transformers made from it: AnyFlow, ChronoEdit, SkyReels 2, Wan Animate 1 and 2, Wan VACE."""

from __future__ import annotations

from functools import cache, partial
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import torch
from diffusers import (
    ChronoEditTransformer3DModel,
    SkyReelsV2Transformer3DModel,
    WanAnimate2Transformer3DModel,
    WanAnimateTransformer3DModel,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)
from diffusers.models.transformers.transformer_anyflow import AnyFlowTransformer3DModel
from diffusers.models.transformers.transformer_anyflow_far import AnyFlowFARTransformer3DModel
from diffusers.models.transformers.transformer_wan_animate_2 import WanAnimate2KVCache
from torch import nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from tests.tiny import FAMILIES, _smooth
from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.inputs import CHANNELS, FRAMES, HEADS, HIDDEN, PATCHES, SIDE, TEXT, TEXT_DIM, prompt, video_inputs

# Wan and those that are called like it


WAN = {**FAMILIES["wan"].config, "num_layers": 6}
WAN_IMAGE = {"image_dim": 8, "added_kv_proj_dim": HIDDEN}


WAN_TEXT = 512  # text tokens of the models with image attention, which are hard-coded


def _wan_i2v(step: int, total: int, channels: int = CHANNELS) -> dict[str, Any]:
    fixed = noise(1, CHANNELS, FRAMES, SIDE, SIDE, role=2)
    inputs = video_inputs(step, total)
    return {
        **inputs,
        "hidden_states": torch.cat([inputs["hidden_states"], fixed], dim=1),
        "encoder_hidden_states": prompt(WAN_TEXT),
        "encoder_hidden_states_image": noise(1, 5, 8, role=3),
    }


def _wan_ti2v(step: int, total: int) -> dict[str, Any]:
    """Wan 2.2 with a timestep per token, 0 for those of the first frame, which is given."""
    times = timestep(step, total).repeat(1, FRAMES * PATCHES)
    times[:, :PATCHES] = 0
    return video_inputs(step, total, timestep=times)


def _skyreels_forcing(step: int, total: int) -> dict[str, Any]:
    """A timestep per frame."""
    times = torch.cat([timestep(step, total), timestep(max(step - 1, 0), total)]).reshape(1, FRAMES)
    return video_inputs(step, total, timestep=times, enable_diffusion_forcing=True, fps=torch.tensor([1]))


VACE = {**WAN, "vace_layers": [0, 1, 3, 5], "vace_in_channels": 8}


def _vace_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    return video_inputs(step, total, control_hidden_states=noise(1, 8, FRAMES, SIDE, SIDE, role=2), **more)


# AnyFlow goes from one timestep to another, and has frames first


def _anyflow_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """A timestep per frame, from it to the next one."""
    return {
        "hidden_states": latent((1, FRAMES, CHANNELS, SIDE, SIDE), step, total),
        "encoder_hidden_states": prompt(),
        "timestep": timestep(step, total).expand(1, FRAMES),
        "r_timestep": timestep(step + 1, total).expand(1, FRAMES),
        **more,
    }


def _anyflow_far() -> nn.Module:
    config = {**WAN, "num_layers": 4}  # its attention is slow where it is not compiled
    return make(AnyFlowFARTransformer3DModel, **config, full_chunk_limit=2)


def _anyflow_far_inputs(step: int, total: int) -> dict[str, Any]:
    """Without a cache of keys and values: all chunks at once, the first of them as a compressed context."""
    frames = FRAMES + 1
    return _anyflow_inputs(
        step,
        total,
        hidden_states=latent((1, frames, CHANNELS, SIDE, SIDE), step, total),
        timestep=timestep(step, total).expand(1, frames),
        r_timestep=timestep(step + 1, total).expand(1, frames),
        chunk_partition=[1] * frames,
    )


def _anyflow_far_cached(step: int, total: int) -> dict[str, Any]:
    """One chunk behind another one, whose keys and values are cached."""
    keys = {"full_cache": (PATCHES, 6), "compressed_cache": (4, 7)}
    return _anyflow_inputs(
        step,
        total,
        hidden_states=latent((1, 1, CHANNELS, SIDE, SIDE), step, total),
        timestep=timestep(step, total).expand(1, 1),
        r_timestep=timestep(step + 1, total).expand(1, 1),
        chunk_partition=[1, 1],
        kv_cache=[{name: noise(2, 1, 2, size, 16, role=role) for name, (size, role) in keys.items()}] * 6,
        kv_cache_flag={"num_cached_chunks": 1, "is_cache_step": False},
    )


# ChronoEdit


def _chrono_edit(**config: Any) -> nn.Module:
    return make(ChronoEditTransformer3DModel, **{**WAN, **config})


def _chrono_edit_image(step: int, total: int) -> dict[str, Any]:
    """As its pipeline calls it; the number of the text tokens beside an image's is hard-coded."""
    inputs = video_inputs(step, total)
    return {
        **inputs,
        "hidden_states": torch.cat([inputs["hidden_states"], noise(1, CHANNELS, FRAMES, SIDE, SIDE, role=2)], dim=1),
        "encoder_hidden_states": prompt(512),
        "encoder_hidden_states_image": noise(1, 5, 8, role=3),
    }


# Wan Animate


def _wan_animate() -> nn.Module:
    return make(
        WanAnimateTransformer3DModel,
        **HEADS,
        in_channels=2 * CHANNELS + 4,
        latent_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=64,
        ffn_dim=2 * HIDDEN,
        num_layers=8,
        image_dim=8,
        rope_max_seq_len=32,
        motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8},
        motion_encoder_size=16,
        motion_style_dim=8,
        motion_dim=4,
        motion_encoder_dim=8,
        face_encoder_hidden_dim=8,
        face_encoder_num_heads=2,
        inject_face_latents_blocks=2,
    )


def _wan_animate_inputs(step: int, total: int) -> dict[str, Any]:
    """Two latent frames behind the reference's, five face frames."""
    fixed = noise(1, CHANNELS + 4, FRAMES + 1, SIDE, SIDE, role=2)
    inputs = video_inputs(step, total, frames=FRAMES + 1)
    return {
        **inputs,
        "hidden_states": torch.cat([inputs["hidden_states"], fixed], dim=1),
        "encoder_hidden_states_image": noise(1, 5, 8, role=3),
        "pose_hidden_states": noise(1, CHANNELS, FRAMES, SIDE, SIDE, role=4),
        "face_pixel_values": noise(1, 3, 5, 16, 16, role=5),
    }


# Wan Animate 2


WAN_TOKENS = 16  # of a frame


def _interpreted(*args: Any, _compile: bool, **more: Any) -> BlockMask:
    """Make a block mask without a compiler, for which the model asks."""
    return create_block_mask(*args, **more)


def _wan_animate2(layers: int = 6) -> nn.Module:
    model = make(
        WanAnimate2Transformer3DModel,
        text_len=TEXT,
        in_dim=2 * CHANNELS + 4,
        dim=HIDDEN,
        ffn_dim=2 * HIDDEN,
        freq_dim=64,
        text_dim=TEXT_DIM,
        out_dim=CHANNELS,
        num_heads=2,
        num_layers=layers,
    )
    wan = cast(Any, model)
    _smooth(cast(Any, SimpleNamespace(linear_1=wan.time_embedding[0])))
    with mock.patch(f"{type(model).__module__}.create_block_mask", _interpreted):
        wan.block_masks[(FRAMES, WAN_TOKENS)] = wan.create_mask(FRAMES, WAN_TOKENS, "cpu")
    return model


@cache
def _wan_reference() -> WanAnimate2KVCache:
    """Keys and values of the reference's tokens, which the denoising steps only read."""
    reference = WanAnimate2KVCache(12)
    for i, layer in enumerate(reference.layer_caches):
        key, value = (noise(1, FRAMES * WAN_TOKENS, 2, 16, role=role + i) for role in (100, 120))
        layer.store(key, value)
    return reference


def _wan_animate2_inputs(step: int, total: int, unconditional: bool = False) -> dict[str, Any]:
    """The unconditional branch leaves out block 9."""
    frames = FRAMES + 1
    return {
        "hidden_states": [latent((CHANNELS, frames, 8, 8), step, total)],
        "timestep": timestep(step, total),
        "encoder_hidden_states": [prompt()[0]],
        "condition_latents": [noise(CHANNELS + 4, frames, 8, 8, role=2)],
        "kv_cache": _wan_reference(),
        "kv_cache_mode": "cached",
        "seq_len": frames * WAN_TOKENS,
        "encoder_hidden_states_image": noise(1, 5, 1280, role=3),
        "reference_grid_sizes": torch.tensor([[FRAMES, 4, 4]]),
        "origin_len": 4 * (FRAMES - 1),
        "origin_area": [64, 64],
        "is_uncondtion": unconditional,
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("AnyFlowFARTransformer3DModel", _anyflow_far, _anyflow_far_inputs),
    Entry("AnyFlowFARTransformer3DModel/kv_cache", _anyflow_far, _anyflow_far_cached),
    Entry("AnyFlowTransformer3DModel", partial(make, AnyFlowTransformer3DModel, **WAN), _anyflow_inputs),
    Entry(
        "AnyFlowTransformer3DModel/i2v",
        partial(make, AnyFlowTransformer3DModel, **WAN, image_dim=8),
        partial(_anyflow_inputs, encoder_hidden_states_image=noise(1, 5, 8, role=3)),
    ),
    Entry("ChronoEditTransformer3DModel", _chrono_edit, video_inputs),
    Entry(
        "ChronoEditTransformer3DModel/image",
        partial(_chrono_edit, in_channels=2 * CHANNELS, image_dim=8, added_kv_proj_dim=HIDDEN),
        _chrono_edit_image,
    ),
    Entry("SkyReelsV2Transformer3DModel", partial(make, SkyReelsV2Transformer3DModel, **WAN), video_inputs),
    Entry(
        "SkyReelsV2Transformer3DModel/diffusion_forcing",
        partial(make, SkyReelsV2Transformer3DModel, **WAN, inject_sample_info=True, num_frame_per_block=2),
        _skyreels_forcing,
    ),
    Entry("WanAnimate2Transformer3DModel", _wan_animate2, _wan_animate2_inputs),
    Entry(
        "WanAnimate2Transformer3DModel/unconditional",
        partial(_wan_animate2, layers=12),
        partial(_wan_animate2_inputs, unconditional=True),
    ),
    Entry("WanAnimateTransformer3DModel", _wan_animate, _wan_animate_inputs),
    Entry("WanTransformer3DModel", partial(make, WanTransformer3DModel, **WAN), video_inputs),
    Entry(
        "WanTransformer3DModel/i2v",
        partial(make, WanTransformer3DModel, **{**WAN, **WAN_IMAGE, "in_channels": 2 * CHANNELS}),
        _wan_i2v,
    ),
    Entry("WanTransformer3DModel/ti2v", partial(make, WanTransformer3DModel, **WAN), _wan_ti2v),
    Entry("WanVACETransformer3DModel", partial(make, WanVACETransformer3DModel, **VACE), _vace_inputs),
)
