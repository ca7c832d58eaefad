"""Transformers of other things than pictures, films and sounds.

Sana's world model and its refiner; proteins; an image's embedding, the prior of unCLIP; image and text at once, UniDiffuser.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
from diffusers import (
    PriorTransformer,
    RFD4ProteinaTransformer,
    SanaWMLTX2RefinerTransformer3DModel,
    SanaWMTransformer3DModel,
    UniDiffuserModel,
)
from diffusers.models.transformers.transformer_sana_wm_refiner import SanaWMRefinerKVCache
from torch import nn

from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.inputs import CHANNELS, FRAMES, GRID, HEADS, HIDDEN, PATCHES, TEXT, TEXT_DIM, prompt, prompt_mask

# Sana's world model


def _sana_wm() -> nn.Module:
    """Every second block has softmax attention instead of the gated delta rule."""
    return make(
        SanaWMTransformer3DModel,
        in_channels=CHANNELS,
        num_layers=6,
        hidden_size=HIDDEN,
        num_attention_heads=2,
        softmax_every_n=2,
        linear_head_dim=16,
        chunk_plucker_channels=6,
        chunk_plucker_post_attn_blocks=6,
        caption_channels=TEXT_DIM,
        mlp_ratio=2.0,
    )


def _camera() -> torch.Tensor:
    """A camera that moves sideways: its matrices, flat, with focal lengths and centre."""
    matrices = torch.eye(4).repeat(FRAMES, 1, 1)
    matrices[:, 0, 3] = 0.1 * torch.arange(FRAMES)
    return torch.cat([matrices.flatten(1), torch.tensor([[4.0, 4.0, 2.0, 2.0]]).repeat(FRAMES, 1)], dim=1)[None]


def _sana_wm_inputs(step: int, total: int, camera: bool = False) -> dict[str, Any]:
    """A timestep per frame; without a camera, the blocks have one branch less."""
    plucker = noise(1, 6, FRAMES, GRID, GRID, role=2)
    return {
        "hidden_states": latent((1, CHANNELS, FRAMES, GRID, GRID), step, total),
        "timestep": timestep(step, total).repeat(1, 1, FRAMES),
        "encoder_hidden_states": prompt()[None],
        "encoder_attention_mask": prompt_mask(),
        **({"camera_conditions": _camera(), "chunk_plucker": plucker} if camera else {}),
    }


def _refiner() -> nn.Module:
    return make(
        SanaWMLTX2RefinerTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        cross_attention_dim=HIDDEN,
        audio_in_channels=CHANNELS,
        audio_out_channels=CHANNELS,
        audio_num_attention_heads=2,
        audio_attention_head_dim=8,
        audio_cross_attention_dim=16,
        num_layers=6,
        caption_channels=TEXT_DIM,
    )


def _rope(tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine as the refiner's rope makes them: interleaved, over all heads' channels."""
    angles = torch.arange(tokens)[None, :, None] * 0.1 ** torch.arange(HIDDEN // 2).repeat_interleave(2)
    return angles.cos(), angles.sin()


@cache
def _refiner_window() -> SanaWMRefinerKVCache:
    """Keys and values of the attention sink and of the frames before, which the denoising steps only read."""
    window = SanaWMRefinerKVCache(6)
    window.sink_pe = _rope(4)
    for i in range(len(window)):
        window.get(i).store_sink(noise(1, 4, HIDDEN, role=60 + i), noise(1, 4, HIDDEN, role=70 + i))
        window.get(i).store_history(noise(1, 8, HIDDEN, role=80 + i), noise(1, 8, HIDDEN, role=90 + i))
    return window


def _refiner_inputs(step: int, total: int, window: bool = False) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, FRAMES * PATCHES, CHANNELS), step, total),
        "encoder_hidden_states": prompt(),
        "timestep": timestep(step, total).repeat(1, FRAMES * PATCHES),
        "video_rotary_emb": _rope(FRAMES * PATCHES),
        "encoder_attention_mask": prompt_mask(),
        **({"kv_cache": _refiner_window(), "kv_cache_mode": "inject"} if window else {}),
    }


# RFD4-Proteina
# Its loop makes new pairs out of what every second layer returned, which are no stream.


RESIDUES = 8


def _proteina() -> nn.Module:
    """Token pairs are updated from the tokens behind every second layer."""
    return make(
        RFD4ProteinaTransformer,
        nlayers=6,
        token_dim=HIDDEN,
        nheads=2,
        dim_cond=16,
        pair_repr_dim=8,
        latent_dim=CHANNELS,
        token_type_emb_dim=4,
        cath_emb_dim=4,
        t_emb_dim=16,
        tri_mult_c=8,
        feats_seq=("xt_bb_ca", "xt_local_latents", "token_type"),
        feats_cond_seq=("time_emb_bb_ca", "time_emb_local_latents", "recycle_remaining"),
        feats_pair_repr=("xt_bb_ca_pair_dists", "bond_mask"),
    )


def _proteina_inputs(step: int, total: int, cycles: int = 1) -> dict[str, Any]:
    """A chain whose last residue is padding; times so close that their fast sinusoids drift slowly too.

    The layers run `cycles` times, each with what the time before made of tokens and pairs.
    """
    chain = torch.ones(1, RESIDUES, dtype=torch.bool)
    times = 0.5 + 0.001 * timestep(step, total, scale=1.0)
    return {
        "bb_ca": latent((1, RESIDUES, 3), step, total),
        "local_latents": latent((1, RESIDUES, CHANNELS), step, total, role=1),
        "bb_ca_time": times,
        "local_latents_time": times,
        "padding_mask": torch.arange(RESIDUES)[None] < RESIDUES - 1,
        "token_type": torch.zeros(1, RESIDUES, dtype=torch.long),
        "conditioning": {"is_in_context_conditioning": ~chain, "supports_local_latent": chain},
        "recycle_depth": cycles,
    }


# The prior of unCLIP


def _prior() -> nn.Module:
    return make(PriorTransformer, **HEADS, num_layers=5, embedding_dim=TEXT_DIM, num_embeddings=TEXT)


def _prior_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, TEXT_DIM), step, total),
        "timestep": timestep(step, total),
        "proj_embedding": noise(1, TEXT_DIM, role=2),
        "encoder_hidden_states": prompt(),
        "attention_mask": prompt_mask().bool(),
    }


# UniDiffuser
# What every in-block returned goes to an out-block, so that none may stand in with its input.


def _unidiffuser() -> nn.Module:
    """Each of the six in-blocks is skipped to an out-block, the first to the last."""
    return make(
        UniDiffuserModel,
        **HEADS,
        text_dim=TEXT_DIM,
        clip_img_dim=8,
        num_text_tokens=TEXT,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=12,
        sample_size=8,
        patch_size=2,
        attention_bias=True,
        use_timestep_embedding=True,
    )


def _unidiffuser_inputs(step: int, total: int) -> dict[str, Any]:
    """Image and text are denoised together."""
    return {
        "latent_image_embeds": latent((1, CHANNELS, 8, 8), step, total),
        "image_embeds": latent((1, 1, 8), step, total, role=1),
        "prompt_embeds": latent((1, TEXT, TEXT_DIM), step, total, role=2),
        "timestep_img": timestep(step, total),
        "timestep_text": timestep(step, total),
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("PriorTransformer", _prior, _prior_inputs),
    Entry("RFD4ProteinaTransformer", _proteina, _proteina_inputs),
    Entry("RFD4ProteinaTransformer/recycle", _proteina, partial(_proteina_inputs, cycles=3)),
    Entry("SanaWMLTX2RefinerTransformer3DModel", _refiner, _refiner_inputs),
    Entry("SanaWMLTX2RefinerTransformer3DModel/window", _refiner, partial(_refiner_inputs, window=True)),
    Entry("SanaWMTransformer3DModel", _sana_wm, _sana_wm_inputs),
    Entry("SanaWMTransformer3DModel/camera", _sana_wm, partial(_sana_wm_inputs, camera=True)),
    Entry("UniDiffuserModel", _unidiffuser, _unidiffuser_inputs),
)
