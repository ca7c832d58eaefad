"""Image transformers that carry the image alone and read the text.

HunyuanDiT, Lumina-Next, Nucleus, PixArt, PRX, Sana, `Transformer2DModel`, U-ViT.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from diffusers import (
    HunyuanDiT2DModel,
    LuminaNextDiT2DModel,
    PixArtTransformer2DModel,
    SanaTransformer2DModel,
    Transformer2DModel,
    UVit2DModel,
)
from diffusers.models.embeddings import get_2d_rotary_pos_embed_lumina
from diffusers.models.transformers.transformer_nucleusmoe_image import NucleusMoEImageTransformer2DModel
from diffusers.models.transformers.transformer_prx import PRXTransformer2DModel
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
    prompt,
    prompt_mask,
    residuals,
    slow,
)

# HunyuanDiT


def _rope(tokens: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of rotary embeddings, each pair of channels alike."""
    angles = torch.arange(tokens)[:, None] * 0.1 ** torch.arange(dim // 2).repeat_interleave(2)
    return angles.cos(), angles.sin()


def _hunyuan_dit() -> nn.Module:
    """Blocks 0 to 3 are skipped to blocks 9 to 6."""
    return make(
        HunyuanDiT2DModel,
        **HEADS,
        in_channels=CHANNELS,
        patch_size=2,
        sample_size=SIDE,
        hidden_size=HIDDEN,
        num_layers=10,
        mlp_ratio=2.0,
        cross_attention_dim=HIDDEN,
        cross_attention_dim_t5=TEXT_DIM,
        pooled_projection_dim=8,
        text_len=TEXT,
        text_len_t5=4,
    )


def _hunyuan_dit_inputs(step: int, total: int, control: bool = False) -> dict[str, Any]:
    """A ControlNet's residuals come in a list that the forward empties."""
    return image_inputs(
        step,
        total,
        encoder_hidden_states=prompt(dim=HIDDEN),
        text_embedding_mask=prompt_mask(),
        encoder_hidden_states_t5=prompt(4, role=2),
        text_embedding_mask_t5=prompt_mask(4),
        image_meta_size=torch.tensor([[512.0, 512.0, 512.0, 512.0, 0.0, 0.0]]),
        style=torch.tensor([0]),
        image_rotary_emb=_rope(PATCHES, 16),
        controlnet_block_samples=[0.2 * noise(1, PATCHES, HIDDEN, role=50 + i) for i in range(4)] if control else None,
    )


# Lumina-Next


def _filled_lumina_next(**config: Any) -> nn.Module:
    model = LuminaNextDiT2DModel(**config)
    nn.init.normal_(model.pad_token, std=0.02)  # diffusers leaves it uninitialised
    return cast(nn.Module, model)


def _lumina_next() -> nn.Module:
    return make(
        _filled_lumina_next,
        sample_size=SIDE,
        in_channels=CHANNELS,
        hidden_size=HIDDEN,
        num_layers=5,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        cross_attention_dim=TEXT_DIM,
    )


def _lumina_next_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        **image_inputs(step, total, timestep=timestep(step, total, scale=1.0)),
        "encoder_mask": prompt_mask(),
        "image_rotary_emb": get_2d_rotary_pos_embed_lumina(16, 8, 8),
        "cross_attention_kwargs": {"base_sequence_length": None},
    }


# Nucleus


def _filled_nucleus(**config: Any) -> nn.Module:
    model = NucleusMoEImageTransformer2DModel(**config)
    for name, parameter in model.named_parameters():
        if ".experts." in name:
            nn.init.normal_(parameter, std=HIDDEN**-0.5)  # diffusers leaves them uninitialised
    return cast(nn.Module, model)


def _nucleus() -> nn.Module:
    return make(
        _filled_nucleus,
        **HEADS,
        in_channels=16,
        out_channels=CHANNELS,
        num_layers=6,
        num_key_value_heads=1,
        joint_attention_dim=TEXT_DIM,
        axes_dims_rope=(4, 6, 6),
        mlp_ratio=6.0,  # the feed-forward's width is rounded down to a multiple of 128
        num_experts=4,
        moe_intermediate_dim=16,
        capacity_factors=2.0,
    )


def _nucleus_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        **packed_inputs(step, total),
        "img_shapes": [(1, GRID, GRID)],
        "encoder_hidden_states_mask": prompt_mask().bool(),
    }


# PixArt


def _pixart(sized: bool = False) -> nn.Module:
    heads = 3 if sized else 2  # a third of the width for each of the size's three parts
    return make(
        PixArtTransformer2DModel,
        num_attention_heads=heads,
        attention_head_dim=16,
        in_channels=CHANNELS,
        out_channels=2 * CHANNELS,
        num_layers=5,
        cross_attention_dim=16 * heads,
        sample_size=SIDE,
        caption_channels=TEXT_DIM,
        use_additional_conditions=sized,
    )


def _pixart_inputs(step: int, total: int, sized: bool = False) -> dict[str, Any]:
    size = {"resolution": torch.tensor([[64.0, 64.0]]), "aspect_ratio": torch.tensor([[1.0]])}
    none = {"resolution": None, "aspect_ratio": None}
    return {
        **image_inputs(step, total),
        "encoder_attention_mask": prompt_mask(),
        "added_cond_kwargs": size if sized else none,
    }


# PRX


def _prx(**config: Any) -> nn.Module:
    model = make(
        PRXTransformer2DModel,
        in_channels=CHANNELS,
        context_in_dim=TEXT_DIM,
        hidden_size=HIDDEN,
        mlp_ratio=2.0,
        num_heads=2,
        depth=5,
        axes_dim=[8, 8],
        **config,
    )
    slow(cast(Any, model).time_in.in_layer)
    for block in cast(Any, model).blocks:
        block.modulation.lin.weight.data *= 4  # diffusers starts it at 0, which leaves next to no gate
    return model


def _prx_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        **image_inputs(step, total, timestep=timestep(step, total, scale=1.0)),
        "attention_mask": prompt_mask().bool(),
    }


# Sana


def sana(cls: Callable[..., nn.Module], **config: Any) -> nn.Module:
    return make(
        cls,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=6,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=HIDDEN,
        caption_channels=TEXT_DIM,
        sample_size=SIDE,
        **config,
    )


SANA_CONTROL = {"controlnet_block_samples": tuple(residuals(3, 1, SIDE * SIDE, HIDDEN))}


# Transformer2DModel with its three kinds of input, and U-ViT


def _tokens(shape: tuple[int, ...], classes: int, step: int, total: int) -> torch.Tensor:
    """Return discrete tokens, of which more and more go over from one fixed choice to another."""
    generator = torch.Generator().manual_seed(7)
    first, second = (torch.randint(classes, shape, generator=generator) for _ in range(2))
    return torch.where(torch.rand(shape, generator=generator) < step / total, second, first)


def _transformer2d(**config: Any) -> nn.Module:
    return make(Transformer2DModel, **HEADS, num_layers=6, cross_attention_dim=TEXT_DIM, **config)


def _vq_diffusion() -> nn.Module:
    """Tokens of 12 classes, the last of them the mask; embedded timesteps that lie on a smooth path."""
    model = _transformer2d(sample_size=4, num_vector_embeds=13, norm_type="ada_norm", num_embeds_ada_norm=100)
    for name, module in model.named_modules():
        if name.endswith(("norm1.emb", "norm2.emb")):
            path = [latent((HIDDEN,), i, 100, role=len(name)) for i in range(100)]
            cast(nn.Embedding, module).weight.data = 0.5 * torch.stack(path)
    return model


def _vq_diffusion_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "hidden_states": _tokens((1, PATCHES), 13, step, total),
        "encoder_hidden_states": prompt(),
        "timestep": timestep(step, total, scale=99.0).long()[0],
    }


def _transformer2d_inputs(step: int, total: int, timed: bool) -> dict[str, Any]:
    return image_inputs(step, total, encoder_attention_mask=prompt_mask()) | ({} if timed else {"timestep": None})


def _uvit() -> nn.Module:
    return make(
        UVit2DModel,
        hidden_size=HIDDEN,
        cond_embed_dim=8,
        micro_cond_encode_dim=4,
        micro_cond_embed_dim=20,
        encoder_hidden_size=TEXT_DIM,
        vocab_size=12,
        codebook_size=10,
        in_channels=16,
        block_out_channels=16,
        num_res_blocks=4,
        downsample=True,
        upsample=True,
        block_num_heads=2,
        num_hidden_layers=6,
        num_attention_heads=2,
        intermediate_size=64,
    )


def _uvit_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "input_ids": _tokens((1, SIDE, SIDE), 12, step, total),
        "encoder_hidden_states": prompt(),
        "pooled_text_emb": noise(1, 8, role=2),
        "micro_conds": torch.tensor([[512.0, 512.0, 0.0, 0.0, 6.0]]),
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("HunyuanDiT2DModel", _hunyuan_dit, _hunyuan_dit_inputs),
    Entry("HunyuanDiT2DModel/controlnet", _hunyuan_dit, partial(_hunyuan_dit_inputs, control=True)),
    Entry("LuminaNextDiT2DModel", _lumina_next, _lumina_next_inputs),
    Entry("NucleusMoEImageTransformer2DModel", _nucleus, _nucleus_inputs),
    Entry("PRXTransformer2DModel", _prx, _prx_inputs),
    Entry("PRXTransformer2DModel/pixel", partial(_prx, bottleneck_size=8, resolution_embeds=True), _prx_inputs),
    Entry("PixArtTransformer2DModel", _pixart, _pixart_inputs),
    Entry("PixArtTransformer2DModel/sized", partial(_pixart, sized=True), partial(_pixart_inputs, sized=True)),
    Entry("SanaTransformer2DModel", partial(sana, SanaTransformer2DModel), image_inputs),
    Entry(
        "SanaTransformer2DModel/controlnet",
        partial(sana, SanaTransformer2DModel),
        partial(image_inputs, **SANA_CONTROL),
    ),
    Entry(
        "SanaTransformer2DModel/guidance",
        partial(sana, SanaTransformer2DModel, guidance_embeds=True),
        partial(image_inputs, guidance=torch.tensor([0.45]), encoder_attention_mask=prompt_mask()),
    ),
    Entry("Transformer2DModel", _vq_diffusion, _vq_diffusion_inputs),
    Entry(
        "Transformer2DModel/continuous",
        partial(_transformer2d, in_channels=CHANNELS, norm_num_groups=2),
        partial(_transformer2d_inputs, timed=False),
    ),
    Entry(
        "Transformer2DModel/patches",
        partial(
            _transformer2d,
            in_channels=CHANNELS,
            sample_size=SIDE,
            patch_size=2,
            norm_type="ada_norm_single",
            activation_fn="gelu-approximate",
        ),
        partial(_transformer2d_inputs, timed=True),
    ),
    Entry("UVit2DModel", _uvit, _uvit_inputs),
)
