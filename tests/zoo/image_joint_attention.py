"""Image transformers whose blocks carry image and text side by side, under joint attention.

CogView 3 and 4, GLM-Image, JoyImage, Qwen-Image, Stable Diffusion 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers import (
    CogView3PlusTransformer2DModel,
    CogView4Transformer2DModel,
    GlmImageTransformer2DModel,
    JoyImageEditPlusTransformer3DModel,
    JoyImageEditTransformer3DModel,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
)
from diffusers.models.transformers.transformer_glm_image import GlmImageKVCache
from torch import nn

from tests.tiny import FAMILIES
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
    prompt,
    prompt_mask,
    residuals,
    video_inputs,
)

# CogView 3 and 4


def _cogview3() -> nn.Module:
    return make(
        CogView3PlusTransformer2DModel,
        **HEADS,
        in_channels=CHANNELS,
        num_layers=6,
        out_channels=CHANNELS,
        text_embed_dim=TEXT_DIM,
        time_embed_dim=16,
        condition_dim=8,
        pos_embed_max_size=SIDE,
        sample_size=SIDE,
    )


def _cogview4(**config: Any) -> nn.Module:
    return make(
        CogView4Transformer2DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=6,
        text_embed_dim=TEXT_DIM,
        time_embed_dim=16,
        condition_dim=4,
        pos_embed_max_size=SIDE,
        sample_size=SIDE,
        rope_axes_dim=(16, 16),
        **config,
    )


def _cogview_inputs(step: int, total: int) -> dict[str, Any]:
    size = torch.tensor([[64.0, 64.0]])
    return image_inputs(step, total, original_size=size, target_size=size, crop_coords=torch.zeros(1, 2))


# GLM-Image


def _glm() -> nn.Module:
    return make(
        GlmImageTransformer2DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=6,
        text_embed_dim=TEXT_DIM,
        time_embed_dim=16,
        condition_dim=4,
        prior_vq_quantizer_codebook_size=12,
    )


def _glm_inputs(step: int, total: int, edit: bool = False) -> dict[str, Any]:
    """An edit brings the keys and values of the image that it is conditioned on."""
    size = torch.tensor([[64.0, 64.0]])
    cache = GlmImageKVCache(6)
    for index in range(6):
        cache[index].store(noise(1, PATCHES, 2, 16, role=60 + index), noise(1, PATCHES, 2, 16, role=80 + index))
    cache.set_mode("read")
    return image_inputs(
        step,
        total,
        prior_token_id=torch.arange(PATCHES)[None] % 12,
        prior_token_drop=torch.zeros(1, PATCHES, dtype=torch.bool),
        target_size=size,
        crop_coords=torch.zeros(1, 2),
        kv_caches=cache if edit else None,
    )


# JoyImage


def _joy_image(cls: Callable[..., nn.Module], **config: Any) -> nn.Module:
    return make(
        cls,
        in_channels=CHANNELS,
        hidden_size=HIDDEN,
        num_attention_heads=2,
        text_dim=TEXT_DIM,
        mlp_width_ratio=2.0,
        num_layers=6,
        rope_dim_list=[4, 6, 6],
        **config,
    )


def _joy_image_edit(step: int, total: int) -> dict[str, Any]:
    """The image to edit, and the noisy one as the last item."""
    fixed = noise(1, 1, CHANNELS, 1, SIDE, SIDE, role=2)
    moving = latent((1, 1, CHANNELS, 1, SIDE, SIDE), step, total)
    return image_inputs(step, total, hidden_states=torch.cat([fixed, moving], dim=1))


def _joy_image_plus(step: int, total: int) -> dict[str, Any]:
    """Patches of the noisy image, then those of a smaller one to edit, then two of padding."""
    patch = (CHANNELS, 1, 2, 2)
    fixed = [noise(1, 8, *patch, role=2), torch.zeros(1, 2, *patch)]
    return image_inputs(
        step,
        total,
        hidden_states=torch.cat([latent((1, PATCHES, *patch), step, total), *fixed], dim=1),
        encoder_hidden_states_mask=prompt_mask(),
        shape_list=[[(1, 4, 4), (1, 2, 4)]],
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


# Qwen-Image


def _qwen(**config: Any) -> nn.Module:
    return make(QwenImageTransformer2DModel, **{**FAMILIES["qwenimage"].config, **config})


def _qwen_inputs(step: int, total: int, images: int = 1, **more: Any) -> dict[str, Any]:
    """Further images are those that the edit pipelines condition on: tokens behind the latents that stay as they are."""
    fixed = noise(1, (images - 1) * PATCHES, CHANNELS * 4, role=2)
    return {
        "hidden_states": torch.cat([latent((1, PATCHES, CHANNELS * 4), step, total), fixed], dim=1),
        "encoder_hidden_states": prompt(),
        "encoder_hidden_states_mask": prompt_mask(),
        "timestep": timestep(step, total, scale=1.0),
        "img_shapes": [[(1, 4, 4)] * images],
        **more,
    }


def _qwen_layered(step: int, total: int) -> dict[str, Any]:
    return _qwen_inputs(step, total, images=3, additional_t_cond=torch.tensor([0]))


QWEN_CONTROL = {"controlnet_block_samples": tuple(residuals(3, 1, PATCHES, HIDDEN))}


# Stable Diffusion 3


def _sd3(**config: Any) -> nn.Module:
    return make(
        SD3Transformer2DModel,
        **HEADS,
        sample_size=SIDE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=6,
        joint_attention_dim=TEXT_DIM,
        caption_projection_dim=HIDDEN,
        pooled_projection_dim=8,
        pos_embed_max_size=SIDE,
        **config,
    )


def _sd3_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    return image_inputs(step, total, pooled_projections=noise(1, 8, role=2), **more)


SD3_CONTROL = {"block_controlnet_hidden_states": tuple(residuals(3, 1, PATCHES, HIDDEN))}

ENTRIES: tuple[Entry, ...] = (
    Entry("CogView3PlusTransformer2DModel", _cogview3, _cogview_inputs),
    Entry("CogView4Transformer2DModel", _cogview4, _cogview_inputs),
    Entry("GlmImageTransformer2DModel", _glm, _glm_inputs),
    Entry("GlmImageTransformer2DModel/edit", _glm, partial(_glm_inputs, edit=True)),
    Entry(
        "JoyImageEditPlusTransformer3DModel",
        partial(_joy_image, JoyImageEditPlusTransformer3DModel),
        _joy_image_plus,
    ),
    Entry(
        "JoyImageEditPlusTransformer3DModel/guidance",
        partial(_joy_image, JoyImageEditPlusTransformer3DModel),
        _joy_image_guidance,
    ),
    Entry("JoyImageEditTransformer3DModel", partial(_joy_image, JoyImageEditTransformer3DModel), _joy_image_edit),
    Entry(
        "JoyImageEditTransformer3DModel/generate",
        partial(_joy_image, JoyImageEditTransformer3DModel, rope_type="mrope"),
        partial(video_inputs, frames=1),
    ),
    Entry("QwenImageTransformer2DModel", _qwen, _qwen_inputs),
    Entry("QwenImageTransformer2DModel/controlnet", _qwen, partial(_qwen_inputs, **QWEN_CONTROL)),
    Entry("QwenImageTransformer2DModel/edit", partial(_qwen, zero_cond_t=True), partial(_qwen_inputs, images=2)),
    Entry(
        "QwenImageTransformer2DModel/layered",
        partial(_qwen, use_additional_t_cond=True, use_layer3d_rope=True),
        _qwen_layered,
    ),
    Entry("SD3Transformer2DModel", _sd3, _sd3_inputs),
    Entry("SD3Transformer2DModel/controlnet", _sd3, partial(_sd3_inputs, **SD3_CONTROL)),
    Entry("SD3Transformer2DModel/skip_layers", _sd3, partial(_sd3_inputs, skip_layers=[2])),
    Entry("SD3Transformer2DModel/3.5", partial(_sd3, dual_attention_layers=(0, 1, 2), qk_norm="rms_norm"), _sd3_inputs),
)
