"""Image transformers that carry text and image in one sequence.

ERNIE-Image, FIBO 2, Ideogram, Krea 2, Lumina 2, OmniGen, Qwen-Image 2.1, Z-Image.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from diffusers import (
    ErnieImageTransformer2DModel,
    Ideogram4Transformer2DModel,
    Lumina2Transformer2DModel,
    OmniGenTransformer2DModel,
)
from diffusers.models.transformers.transformer_bria_fibo2 import BriaFibo2Transformer2DModel
from diffusers.models.transformers.transformer_krea2 import Krea2Transformer2DModel
from diffusers.models.transformers.transformer_qwenimage21 import QwenImage21KVCache, QwenImage21Transformer2DModel
from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel
from torch import nn

from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.inputs import (
    CHANNELS,
    GRID,
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
    residuals,
    slow,
)

# ERNIE-Image


def _ernie(**config: Any) -> nn.Module:
    return make(
        ErnieImageTransformer2DModel,
        hidden_size=HIDDEN,
        num_attention_heads=2,
        num_layers=6,
        ffn_hidden_size=64,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_in_dim=TEXT_DIM,
        rope_axes_dim=(4, 6, 6),
        **config,
    )


def _ernie_inputs(step: int, total: int, batch: int = 1) -> dict[str, Any]:
    """Blocks take tokens first, batch second; the text's last token is padding."""
    return {
        "hidden_states": latent((batch, CHANNELS, 4, 4), step, total),
        "timestep": timestep(step, total, batch),
        "text_bth": noise(batch, TEXT, TEXT_DIM, role=1),
        "text_lens": torch.full((batch,), TEXT - 1) - torch.arange(batch),
    }


# FIBO 2


def _fibo2() -> nn.Module:
    model = make(
        BriaFibo2Transformer2DModel,
        in_channels=CHANNELS,
        dim=HIDDEN,
        n_layers=6,
        n_refiner_layers=4,
        n_heads=2,
        cap_feat_dim=TEXT_DIM,
        injection_layer_ids=(2, 4),
        perceiver_num_layers=1,
        min_num_gist_tokens=4,
        max_num_gist_tokens=8,
        gist_step=2,
        gist_min_text_len=4,
        gist_max_text_len=16,
        axes_dims=(4, 6, 6),
        axes_lens=(32, 32, 32),
    )
    slow(model.get_submodule("t_embedder.mlp.0"))
    return model


def _fibo2_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """Text for the gist, and for each of the two blocks that read it."""
    text = noise(1, 3, TEXT, TEXT_DIM, role=1)
    return image_inputs(step, total, encoder_hidden_states=text, timestep=timestep(step, total, scale=1.0), **more)


# Ideogram


def _ideogram() -> nn.Module:
    model = make(
        Ideogram4Transformer2DModel,
        **HEADS,
        in_channels=16,
        num_layers=6,
        intermediate_size=64,
        adaln_dim=16,
        llm_features_dim=TEXT_DIM,
        mrope_section=(4, 2, 2),
    )
    slow(cast(Any, model).t_embedding.mlp_in, 4000.0)  # the model's own scale is 10 times the usual one
    return model


def _ideogram_inputs(step: int, total: int, text: int = TEXT) -> dict[str, Any]:
    """Text and image tokens in one sequence; the unconditional transformer's has no text."""
    rows = torch.cat([torch.arange(text), 65536 + torch.arange(4).repeat_interleave(4)])
    columns = torch.cat([torch.arange(text), 65536 + torch.arange(4).repeat(4)])
    return {
        "hidden_states": torch.cat([torch.zeros(1, text, 16), latent((1, PATCHES, 16), step, total)], dim=1),
        "timestep": timestep(step, total, scale=1.0),
        "encoder_hidden_states": torch.cat([prompt(text), torch.zeros(1, PATCHES, TEXT_DIM)], dim=1),
        "position_ids": torch.stack([rows.clamp(max=65536), rows, columns], dim=-1)[None],
        "segment_ids": torch.ones(1, text + PATCHES, dtype=torch.long),
        "indicator": torch.tensor([[3] * text + [2] * PATCHES]),
    }


# Krea 2


def _krea2() -> nn.Module:
    model = make(
        Krea2Transformer2DModel,
        **HEADS,
        in_channels=16,
        num_layers=5,
        num_key_value_heads=1,
        intermediate_size=64,
        timestep_embed_dim=64,
        text_hidden_dim=TEXT_DIM,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=2,
        text_intermediate_size=32,
        axes_dims_rope=(4, 6, 6),
    )
    slow(cast(nn.Module, cast(nn.Module, model.time_embed).linear_1))
    return model


def _krea2_inputs(step: int, total: int, masked: bool = False) -> dict[str, Any]:
    return {
        **packed_inputs(step, total),
        "encoder_hidden_states": noise(1, TEXT, 3, TEXT_DIM, role=1),
        "position_ids": torch.cat([torch.zeros(TEXT, 3), places()]),
        "encoder_attention_mask": prompt_mask().bool() if masked else None,
    }


# Lumina 2


def _lumina2() -> nn.Module:
    return make(
        Lumina2Transformer2DModel,
        sample_size=SIDE,
        in_channels=CHANNELS,
        hidden_size=HIDDEN,
        num_layers=5,
        num_refiner_layers=4,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 6, 6),
        axes_lens=(32, 16, 16),
        cap_feat_dim=TEXT_DIM,
    )


def _lumina2_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        **image_inputs(step, total, timestep=timestep(step, total, scale=1.0)),
        "encoder_attention_mask": prompt_mask(),
    }


def _lumina2_pair_inputs(step: int, total: int) -> dict[str, Any]:
    """Two prompts of unequal length: the joint sequence is padded and masked."""
    mask = torch.cat([prompt_mask(), torch.ones(1, TEXT, dtype=torch.long)])
    return {
        "hidden_states": latent((2, CHANNELS, SIDE, SIDE), step, total),
        "encoder_hidden_states": noise(2, TEXT, TEXT_DIM, role=1),
        "timestep": timestep(step, total, batch=2, scale=1.0),
        "encoder_attention_mask": mask,
    }


# OmniGen


def _omnigen() -> nn.Module:
    return make(
        OmniGenTransformer2DModel,
        in_channels=CHANNELS,
        hidden_size=HIDDEN,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        num_layers=5,
        pad_token_id=0,
        vocab_size=16,
        rope_scaling={"short_factor": [1.0] * 8, "long_factor": [1.0] * 8},
        pos_embed_max_size=8,
        time_step_dim=64,
    )


def _omnigen_inputs(step: int, total: int, image: bool = False) -> dict[str, Any]:
    """Text, with the tokens of an image in its middle if there is one, the time token, the image to make."""
    text = TEXT + (PATCHES if image else 0)
    length = text + 1 + PATCHES
    allowed = torch.ones(length, length).tril()
    allowed[text + 1 :] = 1
    allowed[2 : 2 + PATCHES, 2 : 2 + PATCHES] = 1 if image else allowed[2 : 2 + PATCHES, 2 : 2 + PATCHES]
    return {
        "hidden_states": latent((1, CHANNELS, SIDE, SIDE), step, total),
        "timestep": timestep(step, total, scale=1.0),
        "input_ids": torch.arange(text)[None] % 15 + 1,
        "input_img_latents": [noise(1, CHANNELS, SIDE, SIDE, role=2)] if image else [],
        "input_image_sizes": {0: [[2, 2 + PATCHES]]} if image else {},
        "attention_mask": allowed[None],
        "position_ids": torch.arange(length)[None],
    }


# Qwen-Image 2.1


def _qwen21(**config: Any) -> nn.Module:
    return make(
        QwenImage21Transformer2DModel,
        **HEADS,
        in_channels=16,
        out_channels=16,
        num_layers=5,
        context_in_dim=TEXT_DIM,
        axes_dims_rope=(4, 6, 6),
        **config,
    )


def _qwen21_inputs(step: int, total: int, edit: bool = False) -> dict[str, Any]:
    """A slot stands for four image tokens; an image to edit has its slots in the middle of the text."""
    slots = PATCHES // 4
    before = [False] * 2 + [True] * slots + [False] * 2 if edit else [False] * TEXT
    images = latent((1, PATCHES, 16), step, total)
    valid = torch.ones(1, len(before), dtype=torch.long)
    valid[:, -1] = 0
    return {
        "hidden_states": torch.cat([noise(1, PATCHES, 16, role=2), images], dim=1) if edit else images,
        "encoder_hidden_states": noise(1, len(before), TEXT_DIM, role=1),
        "timestep": timestep(step, total, scale=1.0),
        "img_shapes": [[(1, GRID, GRID)] * (2 if edit else 1)],
        "img_mask": torch.tensor([before + [True] * slots]),
        "encoder_hidden_states_mask": valid,
    }


def _qwen21_decode_inputs(step: int, total: int) -> dict[str, Any]:
    """Every step after the first of a run: the text is in the blocks' key-value caches, only image tokens run."""
    kept = QwenImage21KVCache(5)
    for index, layer in enumerate(kept.layer_caches):
        layer.store(noise(1, TEXT, 2, 16, role=30 + index), noise(1, TEXT, 2, 16, role=40 + index))
    return {**_qwen21_inputs(step, total), "kv_cache": kept, "kv_cache_mode": "cached"}


# Z-Image


def _z_image(**config: Any) -> nn.Module:
    model = make(
        ZImageTransformer2DModel,
        in_channels=16,
        dim=HIDDEN,
        n_layers=6,
        n_refiner_layers=4,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=TEXT_DIM,
        axes_dims=[4, 6, 6],
        axes_lens=[256, 32, 32],
        **config,
    )
    slow(cast(Any, model).t_embedder.mlp[0])
    return model


def _z_image_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    return {
        "x": [latent((16, 1, SIDE, SIDE), step, total)],
        "t": timestep(step, total, scale=1.0),
        "cap_feats": [prompt()[0]],
        **more,
    }


def _z_image_omni(step: int, total: int) -> dict[str, Any]:
    """A clean image to condition on, with its SigLIP features, before the noisy one."""
    return _z_image_inputs(
        step,
        total,
        x=[[noise(16, 1, SIDE, SIDE, role=2), latent((16, 1, SIDE, SIDE), step, total)]],
        cap_feats=[[prompt()[0], noise(4, TEXT_DIM, role=3)]],
        siglip_feats=[[noise(4, 4, 8, role=4), None]],
        image_noise_mask=[[0, 1]],
    )


Z_CONTROL = {"controlnet_block_samples": dict(zip((0, 2, 4), residuals(3, 1, 64, HIDDEN), strict=True))}

ENTRIES: tuple[Entry, ...] = (
    Entry("BriaFibo2Transformer2DModel", _fibo2, _fibo2_inputs),
    Entry(
        "BriaFibo2Transformer2DModel/edit",
        _fibo2,
        partial(
            _fibo2_inputs,
            context_latents=[noise(1, CHANNELS, SIDE, SIDE, role=2)],
            encoder_attention_mask=prompt_mask().bool(),
        ),
    ),
    Entry("ErnieImageTransformer2DModel", _ernie, _ernie_inputs),
    Entry("ErnieImageTransformer2DModel/guidance", _ernie, partial(_ernie_inputs, batch=2)),
    Entry("Ideogram4Transformer2DModel", _ideogram, _ideogram_inputs),
    Entry("Ideogram4Transformer2DModel/unconditional", _ideogram, partial(_ideogram_inputs, text=0)),
    Entry("Krea2Transformer2DModel", _krea2, _krea2_inputs),
    Entry("Krea2Transformer2DModel/masked", _krea2, partial(_krea2_inputs, masked=True)),
    Entry("Lumina2Transformer2DModel", _lumina2, _lumina2_inputs),
    Entry("Lumina2Transformer2DModel/pair", _lumina2, _lumina2_pair_inputs),
    Entry("OmniGenTransformer2DModel", _omnigen, _omnigen_inputs),
    Entry("OmniGenTransformer2DModel/image", _omnigen, partial(_omnigen_inputs, image=True)),
    Entry("QwenImage21Transformer2DModel", _qwen21, _qwen21_inputs),
    Entry("QwenImage21Transformer2DModel/decode", _qwen21, _qwen21_decode_inputs),
    Entry("QwenImage21Transformer2DModel/edit", _qwen21, partial(_qwen21_inputs, edit=True)),
    Entry("ZImageTransformer2DModel", _z_image, _z_image_inputs),
    Entry("ZImageTransformer2DModel/controlnet", _z_image, partial(_z_image_inputs, **Z_CONTROL)),
    Entry("ZImageTransformer2DModel/omni", partial(_z_image, siglip_feat_dim=8), _z_image_omni),
)
