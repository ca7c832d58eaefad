"""Video transformers whose blocks carry video and text side by side.

ConsisID, EasyAnimate, HunyuanVideo 1.5, FramePack, Mochi, Motif; CogVideoX and HunyuanVideo are in `families`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers import (
    ConsisIDTransformer3DModel,
    EasyAnimateTransformer3DModel,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoFramepackTransformer3DModel,
    MochiTransformer3DModel,
)
from diffusers.models.transformers.transformer_motif_video import MotifVideoTransformer3DModel
from torch import nn

from tests.tiny import FAMILIES
from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.inputs import (
    CHANNELS,
    FRAMES,
    HEADS,
    HIDDEN,
    SIDE,
    TEXT,
    TEXT_DIM,
    image_inputs,
    prompt,
    prompt_mask,
    second_prompt,
    video_inputs,
)

# ConsisID


def _consisid(**config: Any) -> nn.Module:
    return make(
        ConsisIDTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        time_embed_dim=16,
        text_embed_dim=TEXT_DIM,
        num_layers=6,
        sample_width=SIDE,
        sample_height=SIDE,
        sample_frames=5,
        max_text_seq_length=TEXT,
        **config,
    )


def _consisid_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    return image_inputs(step, total, hidden_states=latent((1, FRAMES, CHANNELS, SIDE, SIDE), step, total), **more)


FACE = {
    "is_train_face": True,
    "cross_attn_dim_head": 8,
    "cross_attn_num_heads": 2,
    "LFE_id_dim": 8,
    "LFE_vit_dim": 8,
    "LFE_depth": 5,
    "LFE_dim_head": 8,
    "LFE_num_heads": 2,
    "LFE_num_id_token": 2,
    "LFE_num_querie": 4,
    "LFE_output_dim": 21,
    "LFE_ff_mult": 1,
}
FACE_INPUTS: dict[str, Any] = {
    "id_cond": noise(1, 8, role=2),
    "id_vit_hidden": [noise(1, 5, 8, role=30 + i) for i in range(5)],
}


# EasyAnimate


def _easyanimate(**config: Any) -> nn.Module:
    return make(
        EasyAnimateTransformer3DModel,
        **HEADS,
        **{"in_channels": CHANNELS, **config},
        out_channels=CHANNELS,
        patch_size=2,
        sample_width=SIDE,
        sample_height=SIDE,
        num_layers=6,
        mmdit_layers=4,
        time_embed_dim=16,
        text_embed_dim=TEXT_DIM,
    )


EASYANIMATE_CONTROL: dict[str, Any] = {
    "inpaint_latents": noise(1, CHANNELS + 1, FRAMES, SIDE, SIDE, role=2),
    "control_latents": noise(1, CHANNELS, FRAMES, SIDE, SIDE, role=3),
    "encoder_hidden_states_t5": noise(1, 4, 12, role=4),
}


# HunyuanVideo 1.5 and FramePack


def _hunyuan_video15(**config: Any) -> nn.Module:
    return make(
        HunyuanVideo15Transformer3DModel,
        **HEADS,
        in_channels=2 * CHANNELS + 1,
        out_channels=CHANNELS,
        num_layers=6,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=TEXT_DIM,
        text_embed_2_dim=8,
        image_embed_dim=8,
        rope_axes_dim=(4, 6, 6),
        **config,
    )


def _hunyuan_video15_inputs(step: int, total: int, image: bool = False, **more: Any) -> dict[str, Any]:
    """Latents with those of a first frame and their mask; image embeddings that are 0 mean text only."""
    moving = latent((1, CHANNELS, FRAMES, 4, 4), step, total)
    fixed = noise(1, CHANNELS + 1, FRAMES, 4, 4, role=3) * image
    return {
        "hidden_states": torch.cat([moving, fixed], dim=1),
        "timestep": timestep(step, total),
        "encoder_hidden_states": prompt(),
        "encoder_attention_mask": prompt_mask(),
        "image_embeds": noise(1, 3, 8, role=4) * image,
        **second_prompt(),
        **more,
    }


def _framepack() -> nn.Module:
    config = {**FAMILIES["hunyuan_video"].config, "guidance_embeds": True}
    return make(
        HunyuanVideoFramepackTransformer3DModel,
        **config,
        mlp_ratio=2.0,
        has_image_proj=True,
        image_proj_dim=8,
        has_clean_x_embedder=True,
    )


def _framepack_inputs(step: int, total: int) -> dict[str, Any]:
    """Three lengths of history before the frames, none of which may be left out."""
    return video_inputs(
        step,
        total,
        encoder_attention_mask=prompt_mask(),
        pooled_projections=noise(1, 8, role=2),
        image_embeds=noise(1, 3, 8, role=3),
        indices_latents=torch.arange(7, 7 + FRAMES),
        guidance=torch.tensor([6000.0]),
        latents_clean=noise(1, CHANNELS, 1, SIDE, SIDE, role=4),
        indices_latents_clean=torch.arange(6, 7),
        latents_history_2x=noise(1, CHANNELS, 2, SIDE, SIDE, role=5),
        indices_latents_history_2x=torch.arange(4, 6),
        latents_history_4x=noise(1, CHANNELS, 4, SIDE, SIDE, role=6),
        indices_latents_history_4x=torch.arange(4),
    )


# Mochi and Motif


def _mochi() -> nn.Module:
    return make(
        MochiTransformer3DModel,
        **HEADS,
        num_layers=5,
        pooled_projection_dim=HIDDEN // 2,
        in_channels=CHANNELS,
        text_embed_dim=TEXT_DIM,
        time_embed_dim=64,
        max_sequence_length=TEXT,
    )


def _mochi_inputs(step: int, total: int) -> dict[str, Any]:
    return {**video_inputs(step, total), "encoder_attention_mask": prompt_mask().bool()}


def _motif(**config: Any) -> nn.Module:
    defaults: dict[str, Any] = {"num_layers": 4, "num_single_layers": 5}
    return make(
        MotifVideoTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        mlp_ratio=2.0,
        text_embed_dim=TEXT_DIM,
        rope_axes_dim=(4, 6, 6),
        **{**defaults, **config},
    )


def _motif_decoder() -> nn.Module:
    """As released: the last single blocks are decoders, which start from the patch embedding anew."""
    return _motif(
        num_single_layers=9,
        num_decoder_layers=4,
        image_embed_dim=TEXT_DIM,
        enable_text_cross_attention_dual=True,
        enable_text_cross_attention_single=True,
    )


def _motif_inputs(step: int, total: int, image: bool = False) -> dict[str, Any]:
    return {
        **video_inputs(step, total),
        "encoder_attention_mask": prompt_mask(),
        "image_embeds": noise(1, 4, TEXT_DIM, role=2) if image else None,
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("ConsisIDTransformer3DModel", _consisid, _consisid_inputs),
    Entry("ConsisIDTransformer3DModel/face", partial(_consisid, **FACE), partial(_consisid_inputs, **FACE_INPUTS)),
    Entry("EasyAnimateTransformer3DModel", _easyanimate, video_inputs),
    Entry(
        "EasyAnimateTransformer3DModel/control",
        partial(_easyanimate, in_channels=3 * CHANNELS + 1, text_embed_dim_t5=12, after_norm=True),
        partial(video_inputs, **EASYANIMATE_CONTROL),
    ),
    Entry("HunyuanVideo15Transformer3DModel", _hunyuan_video15, _hunyuan_video15_inputs),
    Entry("HunyuanVideo15Transformer3DModel/i2v", _hunyuan_video15, partial(_hunyuan_video15_inputs, image=True)),
    Entry(
        "HunyuanVideo15Transformer3DModel/meanflow",
        partial(_hunyuan_video15, use_meanflow=True),
        partial(_hunyuan_video15_inputs, timestep_r=torch.tensor([100.0])),
    ),
    Entry("HunyuanVideoFramepackTransformer3DModel", _framepack, _framepack_inputs),
    Entry("MochiTransformer3DModel", _mochi, _mochi_inputs),
    Entry("MotifVideoTransformer3DModel", _motif, _motif_inputs),
    Entry("MotifVideoTransformer3DModel/decoder", _motif_decoder, partial(_motif_inputs, image=True)),
)
