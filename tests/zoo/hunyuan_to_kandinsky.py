"""The transformer classes of diffusers that Hunyuan, Ideogram, JoyImage and Kandinsky have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from diffusers import (
    HunyuanDiT2DModel,
    HunyuanImageTransformer2DModel,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoFramepackTransformer3DModel,
    Ideogram4Transformer2DModel,
    JoyImageEditPlusTransformer3DModel,
    JoyImageEditTransformer3DModel,
    Kandinsky5Transformer3DModel,
    Kandinsky6SRTransformer3DModel,
    Kandinsky6Transformer3DModel,
)
from diffusers.models.attention_dispatch import AttentionBackendName
from torch import nn

from tests.tiny import FAMILIES, _smooth
from tests.zoo.base import Entry, latent, make, noise, timestep

HIDDEN = 32
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}
CHANNELS = 4
SIDE = 8  # latent height and width
PATCHES = 16  # image tokens of an 8x8 latent
FRAMES = 2
TEXT = 6  # tokens
TEXT_DIM = 16


def _text(tokens: int = TEXT, dim: int = TEXT_DIM, role: int = 1) -> torch.Tensor:
    return noise(1, tokens, dim, role=role)


def _mask(tokens: int = TEXT) -> torch.Tensor:
    """A prompt mask whose last token is padding."""
    return torch.tensor([[1] * (tokens - 1) + [0]])


def _rope(tokens: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of rotary embeddings, each pair of channels alike."""
    angles = torch.arange(tokens)[:, None] * 0.1 ** torch.arange(dim // 2).repeat_interleave(2)
    return angles.cos(), angles.sin()


def _slow(linear: nn.Module, scale: float) -> None:
    """Make a time embedder that is no `TimestepEmbedding` smooth too."""
    _smooth(cast(Any, SimpleNamespace(linear_1=linear)), scale)


def _image(step: int, total: int, **more: Any) -> dict[str, Any]:
    """Image latents, text, a timestep."""
    return {
        "hidden_states": latent((1, CHANNELS, SIDE, SIDE), step, total),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total),
        **more,
    }


def _video(step: int, total: int, frames: int = FRAMES, **more: Any) -> dict[str, Any]:
    return {**_image(step, total), "hidden_states": latent((1, CHANNELS, frames, SIDE, SIDE), step, total), **more}


# Hunyuan


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
    return _image(
        step,
        total,
        encoder_hidden_states=_text(dim=HIDDEN),
        text_embedding_mask=_mask(),
        encoder_hidden_states_t5=_text(4, role=2),
        text_embedding_mask_t5=_mask(4),
        image_meta_size=torch.tensor([[512.0, 512.0, 512.0, 512.0, 0.0, 0.0]]),
        style=torch.tensor([0]),
        image_rotary_emb=_rope(PATCHES, 16),
        controlnet_block_samples=[0.2 * noise(1, PATCHES, HIDDEN, role=50 + i) for i in range(4)] if control else None,
    )


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


def _glyphs() -> dict[str, Any]:
    """A second text of 4 tokens, in front of the first one."""
    return {"encoder_hidden_states_2": _text(4, dim=8, role=2), "encoder_attention_mask_2": _mask(4)}


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
        "encoder_hidden_states": _text(),
        "encoder_attention_mask": _mask(),
        "image_embeds": noise(1, 3, 8, role=4) * image,
        **_glyphs(),
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
    return _video(
        step,
        total,
        encoder_attention_mask=_mask(),
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
    _slow(cast(Any, model).t_embedding.mlp_in, 4000.0)  # the model's own scale is 10 times the usual one
    return model


def _ideogram_inputs(step: int, total: int, text: int = TEXT) -> dict[str, Any]:
    """Text and image tokens in one sequence; the unconditional transformer's has no text."""
    rows = torch.cat([torch.arange(text), 65536 + torch.arange(4).repeat_interleave(4)])
    columns = torch.cat([torch.arange(text), 65536 + torch.arange(4).repeat(4)])
    return {
        "hidden_states": torch.cat([torch.zeros(1, text, 16), latent((1, PATCHES, 16), step, total)], dim=1),
        "timestep": timestep(step, total, scale=1.0),
        "encoder_hidden_states": torch.cat([_text(text), torch.zeros(1, PATCHES, TEXT_DIM)], dim=1),
        "position_ids": torch.stack([rows.clamp(max=65536), rows, columns], dim=-1)[None],
        "segment_ids": torch.ones(1, text + PATCHES, dtype=torch.long),
        "indicator": torch.tensor([[3] * text + [2] * PATCHES]),
    }


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
    return _image(step, total, hidden_states=torch.cat([fixed, moving], dim=1))


def _joy_image_plus(step: int, total: int) -> dict[str, Any]:
    """Patches of the noisy image, then those of a smaller one to edit, then two of padding."""
    patch = (CHANNELS, 1, 2, 2)
    fixed = [noise(1, 8, *patch, role=2), torch.zeros(1, 2, *patch)]
    return _image(
        step,
        total,
        hidden_states=torch.cat([latent((1, PATCHES, *patch), step, total), *fixed], dim=1),
        encoder_hidden_states_mask=_mask(),
        shape_list=[[(1, 4, 4), (1, 2, 4)]],
    )


# Kandinsky: channels last


KANDINSKY = {"time_dim": 16, "model_dim": HIDDEN, "ff_dim": 2 * HIDDEN, "axes_dims": (4, 6, 6)}
KANDINSKY_TEXT = {"in_text_dim": TEXT_DIM, "in_text_dim2": 8, "num_text_blocks": 4, "num_visual_blocks": 6}


def _kandinsky5(**config: Any) -> nn.Module:
    sizes = {"in_visual_dim": CHANNELS, "out_visual_dim": CHANNELS}
    model = make(Kandinsky5Transformer3DModel, **KANDINSKY, **KANDINSKY_TEXT, **sizes, **config)
    _slow(cast(Any, model).time_embeddings.in_layer, 400.0)
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
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total),
        "pooled_projections": noise(1, 8, role=3),
        "visual_rope_pos": (torch.arange(FRAMES), torch.arange(side // 2), torch.arange(side // 2)),
        "text_rope_pos": torch.arange(TEXT),
        "scale_factor": (1.0, 2.0, 2.0),
        **more,
    }


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
        "encoder_hidden_states": _text(),
        "pooled_projections": noise(1, 8, role=3),
        "timestep": timestep(step, total),
        "audio_hidden_states": latent((1, 5, CHANNELS), step, total, role=1) if audio else None,
        "encoder_attention_mask": _mask().bool(),
    }


def _kandinsky6_sr() -> nn.Module:
    """Its attention wants the tokens of a frame in groups of 8x8."""
    return make(
        Kandinsky6SRTransformer3DModel,
        **KANDINSKY,
        in_visual_dim=CHANNELS,
        out_visual_dim=2 * CHANNELS,
        num_visual_blocks=6,
        nabla_window=(1, 1, 1),
    )


def _kandinsky6_sr_inputs(step: int, total: int) -> dict[str, Any]:
    return {"hidden_states": _kandinsky_latents(step, total, cond=True), "timestep": timestep(step, total)}


# Groups of 8x8 tokens, of which each frame has one
NABLA: dict[str, Any] = {"sta_mask": torch.eye(FRAMES).bool()[None, None], "to_fractal": True, "P": 0.9}
DISTILLED: dict[str, Any] = {"timestep_r": torch.tensor([100.0]), "guidance": torch.tensor([3500.0])}

ENTRIES: tuple[Entry, ...] = (
    Entry("HunyuanDiT2DModel", _hunyuan_dit, _hunyuan_dit_inputs),
    Entry("HunyuanDiT2DModel/controlnet", _hunyuan_dit, partial(_hunyuan_dit_inputs, control=True)),
    Entry(
        "HunyuanImageTransformer2DModel",
        partial(_hunyuan_image, text_embed_2_dim=8),
        partial(_image, encoder_attention_mask=_mask(), **_glyphs()),
    ),
    Entry(
        "HunyuanImageTransformer2DModel/distilled",
        partial(_hunyuan_image, guidance_embeds=True, use_meanflow=True),
        partial(_image, encoder_attention_mask=_mask(), **DISTILLED),
    ),
    Entry(
        "HunyuanImageTransformer2DModel/refiner",
        partial(_hunyuan_image, patch_size=(1, 2, 2), rope_axes_dim=(4, 6, 6)),
        partial(_video, encoder_attention_mask=_mask()),
    ),
    Entry("HunyuanVideo15Transformer3DModel", _hunyuan_video15, _hunyuan_video15_inputs),
    Entry("HunyuanVideo15Transformer3DModel/i2v", _hunyuan_video15, partial(_hunyuan_video15_inputs, image=True)),
    Entry(
        "HunyuanVideo15Transformer3DModel/meanflow",
        partial(_hunyuan_video15, use_meanflow=True),
        partial(_hunyuan_video15_inputs, timestep_r=DISTILLED["timestep_r"]),
    ),
    Entry("HunyuanVideoFramepackTransformer3DModel", _framepack, _framepack_inputs),
    Entry("Ideogram4Transformer2DModel", _ideogram, _ideogram_inputs),
    Entry("Ideogram4Transformer2DModel/unconditional", _ideogram, partial(_ideogram_inputs, text=0)),
    Entry("JoyImageEditTransformer3DModel", partial(_joy_image, JoyImageEditTransformer3DModel), _joy_image_edit),
    Entry(
        "JoyImageEditTransformer3DModel/generate",
        partial(_joy_image, JoyImageEditTransformer3DModel, rope_type="mrope"),
        partial(_video, frames=1),
    ),
    Entry(
        "JoyImageEditPlusTransformer3DModel",
        partial(_joy_image, JoyImageEditPlusTransformer3DModel),
        _joy_image_plus,
    ),
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
    Entry("Kandinsky6Transformer3DModel", _kandinsky6, _kandinsky6_inputs),
    Entry("Kandinsky6Transformer3DModel/video_only", _kandinsky6, partial(_kandinsky6_inputs, audio=False)),
    Entry("Kandinsky6SRTransformer3DModel", _kandinsky6_sr, _kandinsky6_sr_inputs),
)
