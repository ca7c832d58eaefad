"""Image transformers with joint blocks for image and text first, and single ones after them.

AuraFlow, Bria 3.2, FIBO, Chroma, HiDream, HunyuanImage, LongCat-Image, Ovis; Flux 2 and 3 are in `image_flux`.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from diffusers import (
    AuraFlowTransformer2DModel,
    ChromaTransformer2DModel,
    HiDreamImageTransformer2DModel,
    HunyuanImageTransformer2DModel,
)
from diffusers.models.transformers.transformer_bria import BriaTransformer2DModel
from diffusers.models.transformers.transformer_bria_fibo import BriaFiboTransformer2DModel
from diffusers.models.transformers.transformer_longcat_image import LongCatImageTransformer2DModel
from diffusers.models.transformers.transformer_ovis_image import OvisImageTransformer2DModel
from torch import nn

from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.inputs import (
    CHANNELS,
    HEADS,
    HIDDEN,
    PATCHES,
    SIDE,
    TEXT,
    TEXT_DIM,
    image_inputs,
    packed_inputs,
    places,
    prompt,
    prompt_mask,
    second_prompt,
    slow,
    video_inputs,
)

# AuraFlow


def _aura_flow() -> nn.Module:
    return make(
        AuraFlowTransformer2DModel,
        **HEADS,
        sample_size=SIDE,
        in_channels=CHANNELS,
        num_mmdit_layers=4,
        num_single_dit_layers=6,
        joint_attention_dim=TEXT_DIM,
        caption_projection_dim=HIDDEN,
        out_channels=CHANNELS,
        pos_embed_max_size=PATCHES,
    )


def _aura_flow_inputs(step: int, total: int) -> dict[str, Any]:
    return image_inputs(step, total, timestep=timestep(step, total, scale=1.0))


# Bria 3.2, FIBO and Chroma, which are called like Flux


PACKED = {
    **HEADS,
    "in_channels": CHANNELS,
    "num_layers": 4,
    "num_single_layers": 6,
    "joint_attention_dim": TEXT_DIM,
    "axes_dims_rope": (4, 6, 6),
}


def _flux_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """Packed latents, text, and the places of both, as Flux has them."""
    side = SIDE // 2
    places = torch.cartesian_prod(torch.zeros(1), torch.arange(side).float(), torch.arange(side).float())
    return {
        "hidden_states": latent((1, PATCHES, CHANNELS), step, total),
        "encoder_hidden_states": prompt(),
        "timestep": timestep(step, total),
        "img_ids": places,
        "txt_ids": torch.zeros(TEXT, 3),
        **more,
    }


def _control(singles: int) -> dict[str, Any]:
    """ControlNet samples; both loops write those of single blocks, `singles` tokens, into the block's output in place."""
    double = [0.2 * noise(1, PATCHES, HIDDEN, role=50 + i) for i in range(2)]
    single = [0.2 * noise(1, singles, HIDDEN, role=60 + i) for i in range(2)]
    return {"controlnet_block_samples": double, "controlnet_single_block_samples": single}


def _fibo_inputs(step: int, total: int) -> dict[str, Any]:
    """Text for each of the ten blocks."""
    return _flux_inputs(step, total, text_encoder_layers=[noise(1, TEXT, TEXT_DIM, role=50 + i) for i in range(10)])


def _chroma() -> nn.Module:
    """The blocks' modulation comes from a network, the first 16 of whose inputs are the timestep's features."""
    model = make(
        ChromaTransformer2DModel,
        **PACKED,
        approximator_num_channels=64,
        approximator_hidden_dim=HIDDEN,
        approximator_layers=2,
    )
    weight = cast(Any, model.get_submodule("distilled_guidance_layer.in_proj")).weight
    slow(SimpleNamespace(weight=weight[:, :16]))
    return model


def _chroma_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """All tokens but the last one of the text are attended to."""
    mask = torch.cat([prompt_mask(), torch.ones(1, PATCHES)], dim=1).bool()
    return _flux_inputs(step, total, timestep=timestep(step, total, scale=1.0), attention_mask=mask, **more)


# HiDream


def _hidream() -> nn.Module:
    return make(
        HiDreamImageTransformer2DModel,
        **HEADS,
        patch_size=2,
        in_channels=CHANNELS,
        num_layers=4,
        num_single_layers=5,
        caption_channels=[TEXT_DIM, 12],
        text_emb_dim=8,
        num_routed_experts=2,
        num_activated_experts=1,
        axes_dims_rope=(4, 6, 6),
        max_resolution=(SIDE, SIDE),
        llama_layers=[0, 1, 2, 3, 4, 5, 6, 7, 7],
    )


def _hidream_inputs(step: int, total: int, width: int = SIDE) -> dict[str, Any]:
    """The loop gives every block the hidden states of another layer of Llama behind those that it carries on."""
    return {
        "hidden_states": latent((1, CHANNELS, SIDE, width), step, total),
        "timesteps": timestep(step, total),
        "encoder_hidden_states_t5": prompt(),
        "encoder_hidden_states_llama3": noise(8, 1, TEXT, 12, role=2),
        "pooled_embeds": noise(1, 8, role=3),
    }


# HunyuanImage


def _hunyuan_image(**config: Any) -> nn.Module:
    return make(
        HunyuanImageTransformer2DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=4,
        num_single_layers=4,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=TEXT_DIM,
        **{"patch_size": (2, 2), "rope_axes_dim": (8, 8), **config},
    )


DISTILLED: dict[str, Any] = {"timestep_r": torch.tensor([100.0]), "guidance": torch.tensor([3500.0])}


# LongCat and Ovis


def _longcat_image() -> nn.Module:
    return make(
        LongCatImageTransformer2DModel,
        **HEADS,
        in_channels=16,
        num_layers=4,
        num_single_layers=5,
        joint_attention_dim=TEXT_DIM,
        pooled_projection_dim=TEXT_DIM,
        axes_dims_rope=(4, 6, 6),
    )


def _ovis() -> nn.Module:
    return make(
        OvisImageTransformer2DModel,
        **HEADS,
        in_channels=16,
        out_channels=16,
        num_layers=4,
        num_single_layers=5,
        joint_attention_dim=TEXT_DIM,
        axes_dims_rope=(4, 6, 6),
    )


def _placed_inputs(step: int, total: int) -> dict[str, Any]:
    return {**packed_inputs(step, total), "img_ids": places(), "txt_ids": torch.zeros(TEXT, 3)}


def _longcat_edit_inputs(step: int, total: int) -> dict[str, Any]:
    """The latents of the image to edit come behind those of the result."""
    inputs = _placed_inputs(step, total)
    joined = torch.cat([inputs["hidden_states"], noise(1, PATCHES, 16, role=2)], dim=1)
    return {**inputs, "hidden_states": joined, "img_ids": torch.cat([places(1), places(2)])}


ENTRIES: tuple[Entry, ...] = (
    Entry("AuraFlowTransformer2DModel", _aura_flow, _aura_flow_inputs),
    Entry(
        "BriaFiboTransformer2DModel",
        partial(make, BriaFiboTransformer2DModel, **PACKED, text_encoder_dim=TEXT_DIM),
        _fibo_inputs,
    ),
    Entry("BriaTransformer2DModel", partial(make, BriaTransformer2DModel, **PACKED), _flux_inputs),
    Entry(
        "BriaTransformer2DModel/controlnet",
        partial(make, BriaTransformer2DModel, **PACKED),
        partial(_flux_inputs, **_control(PATCHES - TEXT)),
    ),
    Entry("ChromaTransformer2DModel", _chroma, _chroma_inputs),
    Entry("ChromaTransformer2DModel/controlnet", _chroma, partial(_chroma_inputs, **_control(PATCHES))),
    Entry("HiDreamImageTransformer2DModel", _hidream, _hidream_inputs),
    Entry("HiDreamImageTransformer2DModel/narrow", _hidream, partial(_hidream_inputs, width=4)),
    Entry(
        "HunyuanImageTransformer2DModel",
        partial(_hunyuan_image, text_embed_2_dim=8),
        partial(image_inputs, encoder_attention_mask=prompt_mask(), **second_prompt()),
    ),
    Entry(
        "HunyuanImageTransformer2DModel/distilled",
        partial(_hunyuan_image, guidance_embeds=True, use_meanflow=True),
        partial(image_inputs, encoder_attention_mask=prompt_mask(), **DISTILLED),
    ),
    Entry(
        "HunyuanImageTransformer2DModel/refiner",
        partial(_hunyuan_image, patch_size=(1, 2, 2), rope_axes_dim=(4, 6, 6)),
        partial(video_inputs, encoder_attention_mask=prompt_mask()),
    ),
    Entry("LongCatImageTransformer2DModel", _longcat_image, _placed_inputs),
    Entry("LongCatImageTransformer2DModel/edit", _longcat_image, _longcat_edit_inputs),
    Entry("OvisImageTransformer2DModel", _ovis, _placed_inputs),
)
