"""The transformer classes of diffusers from ACE-Step to CogView 3."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from diffusers import (
    AceStepTransformer1DModel,
    AllegroTransformer3DModel,
    AuraFlowTransformer2DModel,
    ChromaTransformer2DModel,
    ChronoEditTransformer3DModel,
    CogView3PlusTransformer2DModel,
)
from diffusers.models.embeddings import get_3d_rotary_pos_embed_allegro
from diffusers.models.transformers.transformer_anyflow import AnyFlowTransformer3DModel
from diffusers.models.transformers.transformer_anyflow_far import AnyFlowFARTransformer3DModel
from diffusers.models.transformers.transformer_bria import BriaTransformer2DModel
from diffusers.models.transformers.transformer_bria_fibo import BriaFiboTransformer2DModel
from diffusers.models.transformers.transformer_bria_fibo2 import BriaFibo2Transformer2DModel
from torch import nn

from tests.tiny import _smooth
from tests.zoo.base import Entry, latent, make, noise, timestep

HIDDEN = 32
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}
CHANNELS = 4
SIDE = 8  # latent height and width
PATCHES = 16  # image tokens of an 8x8 latent
FRAMES = 2
TEXT = 6  # tokens
TEXT_DIM = 16


def _text(tokens: int = TEXT) -> torch.Tensor:
    return noise(1, tokens, TEXT_DIM, role=1)


def _mask() -> torch.Tensor:
    """A prompt mask whose last token is padding."""
    return torch.tensor([[1] * (TEXT - 1) + [0]])


def _slow(linear: Any) -> None:
    """Make a time embedder that is no `TimestepEmbedding` smooth too."""
    _smooth(cast(Any, SimpleNamespace(linear_1=linear)))


def _image(step: int, total: int, **more: Any) -> dict[str, Any]:
    """Image latents, text, a timestep."""
    return {
        "hidden_states": latent((1, CHANNELS, SIDE, SIDE), step, total),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total),
        **more,
    }


def _video(step: int, total: int, **more: Any) -> dict[str, Any]:
    return {**_image(step, total), "hidden_states": latent((1, CHANNELS, FRAMES, SIDE, SIDE), step, total), **more}


def _packed(step: int, total: int, **more: Any) -> dict[str, Any]:
    """Packed latents, text, and the places of both, as Flux has them."""
    side = SIDE // 2
    places = torch.cartesian_prod(torch.zeros(1), torch.arange(side).float(), torch.arange(side).float())
    return {
        "hidden_states": latent((1, PATCHES, CHANNELS), step, total),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total),
        "img_ids": places,
        "txt_ids": torch.zeros(TEXT, 3),
        **more,
    }


# ACE-Step


def _ace_step() -> nn.Module:
    model = make(
        AceStepTransformer1DModel,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        in_channels=3 * CHANNELS,
        audio_acoustic_hidden_dim=CHANNELS,
        sliding_window=2,
        encoder_hidden_size=TEXT_DIM,
    )
    for name in ("time_embed", "time_embed_r"):
        _smooth(cast(Any, model.get_submodule(name)))
    return model


def _ace_step_inputs(step: int, total: int) -> dict[str, Any]:
    """16 latents beside their context: source latents and chunk masks."""
    now = timestep(step, total, scale=1.0)
    return {
        "hidden_states": latent((1, 16, CHANNELS), step, total),
        "timestep": now,
        "timestep_r": now,
        "encoder_hidden_states": _text(),
        "context_latents": noise(1, 16, 2 * CHANNELS, role=2),
    }


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
    return _video(step, total, image_rotary_emb=(freqs, places.T[:, None]), encoder_attention_mask=_mask())


# AnyFlow and ChronoEdit, both on Wan's transformer; AnyFlow goes from one timestep to another, and has frames first


WAN = {
    **HEADS,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "text_dim": TEXT_DIM,
    "freq_dim": 64,
    "ffn_dim": 2 * HIDDEN,
    "num_layers": 6,
    "rope_max_seq_len": 32,
}


def _anyflow_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """A timestep per frame, from it to the next one."""
    return {
        "hidden_states": latent((1, FRAMES, CHANNELS, SIDE, SIDE), step, total),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total).expand(1, FRAMES),
        "r_timestep": timestep(step + 1, total).expand(1, FRAMES),
        **more,
    }


def _chrono_edit(**config: Any) -> nn.Module:
    return make(ChronoEditTransformer3DModel, **{**WAN, **config})


def _chrono_edit_image(step: int, total: int) -> dict[str, Any]:
    """As its pipeline calls it; the number of the text tokens beside an image's is hard-coded."""
    inputs = _video(step, total)
    return {
        **inputs,
        "hidden_states": torch.cat([inputs["hidden_states"], noise(1, CHANNELS, FRAMES, SIDE, SIDE, role=2)], dim=1),
        "encoder_hidden_states": _text(512),
        "encoder_hidden_states_image": noise(1, 5, 8, role=3),
    }


def _anyflow_far() -> nn.Module:
    return make(AnyFlowFARTransformer3DModel, **WAN, full_chunk_limit=2)


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
    return _image(step, total, timestep=timestep(step, total, scale=1.0))


# Bria: FIBO 2, FIBO, 3.2


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
    _slow(model.get_submodule("t_embedder.mlp.0"))
    return model


def _fibo2_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """Text for the gist, and for each of the two blocks that read it."""
    text = noise(1, 3, TEXT, TEXT_DIM, role=1)
    return _image(step, total, encoder_hidden_states=text, timestep=timestep(step, total, scale=1.0), **more)


PACKED = {
    **HEADS,
    "in_channels": CHANNELS,
    "num_layers": 4,
    "num_single_layers": 6,
    "joint_attention_dim": TEXT_DIM,
    "axes_dims_rope": (4, 6, 6),
}


def _fibo_inputs(step: int, total: int) -> dict[str, Any]:
    """Text for each of the ten blocks."""
    return _packed(step, total, text_encoder_layers=[noise(1, TEXT, TEXT_DIM, role=50 + i) for i in range(10)])


def _control(singles: int) -> dict[str, Any]:
    """ControlNet samples; both loops write those of single blocks, `singles` tokens, into the block's output in place."""
    double = [0.2 * noise(1, PATCHES, HIDDEN, role=50 + i) for i in range(2)]
    single = [0.2 * noise(1, singles, HIDDEN, role=60 + i) for i in range(2)]
    return {"controlnet_block_samples": double, "controlnet_single_block_samples": single}


# Chroma


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
    _slow(SimpleNamespace(weight=weight[:, :16]))
    return model


def _chroma_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """All tokens but the last one of the text are attended to."""
    mask = torch.cat([_mask(), torch.ones(1, PATCHES)], dim=1).bool()
    return _packed(step, total, timestep=timestep(step, total, scale=1.0), attention_mask=mask, **more)


# CogView 3


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


def _cogview3_inputs(step: int, total: int) -> dict[str, Any]:
    size = torch.tensor([[64.0, 64.0]])
    return _image(step, total, original_size=size, target_size=size, crop_coords=torch.zeros(1, 2))


ENTRIES: tuple[Entry, ...] = (
    Entry("AceStepTransformer1DModel", _ace_step, _ace_step_inputs),
    Entry("AllegroTransformer3DModel", _allegro, _allegro_inputs),
    Entry("AnyFlowFARTransformer3DModel", _anyflow_far, _anyflow_far_inputs),
    Entry("AnyFlowFARTransformer3DModel/kv_cache", _anyflow_far, _anyflow_far_cached),
    Entry("AnyFlowTransformer3DModel", partial(make, AnyFlowTransformer3DModel, **WAN), _anyflow_inputs),
    Entry(
        "AnyFlowTransformer3DModel/i2v",
        partial(make, AnyFlowTransformer3DModel, **WAN, image_dim=8),
        partial(_anyflow_inputs, encoder_hidden_states_image=noise(1, 5, 8, role=3)),
    ),
    Entry("AuraFlowTransformer2DModel", _aura_flow, _aura_flow_inputs),
    Entry("BriaFibo2Transformer2DModel", _fibo2, _fibo2_inputs),
    Entry(
        "BriaFibo2Transformer2DModel/edit",
        _fibo2,
        partial(
            _fibo2_inputs,
            context_latents=[noise(1, CHANNELS, SIDE, SIDE, role=2)],
            encoder_attention_mask=_mask().bool(),
        ),
    ),
    Entry(
        "BriaFiboTransformer2DModel",
        partial(make, BriaFiboTransformer2DModel, **PACKED, text_encoder_dim=TEXT_DIM),
        _fibo_inputs,
    ),
    Entry("BriaTransformer2DModel", partial(make, BriaTransformer2DModel, **PACKED), _packed),
    Entry(
        "BriaTransformer2DModel/controlnet",
        partial(make, BriaTransformer2DModel, **PACKED),
        partial(_packed, **_control(PATCHES - TEXT)),
    ),
    Entry("ChromaTransformer2DModel", _chroma, _chroma_inputs),
    Entry("ChromaTransformer2DModel/controlnet", _chroma, partial(_chroma_inputs, **_control(PATCHES))),
    Entry("ChronoEditTransformer3DModel", _chrono_edit, _video),
    Entry(
        "ChronoEditTransformer3DModel/image",
        partial(_chrono_edit, in_channels=2 * CHANNELS, image_dim=8, added_kv_proj_dim=HIDDEN),
        _chrono_edit_image,
    ),
    Entry("CogView3PlusTransformer2DModel", _cogview3, _cogview3_inputs),
)
