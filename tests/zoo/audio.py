"""Transformers of sound: ACE-Step, LongCat, MiniMax Music, Stable Audio, and the decoder of spectrograms."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from diffusers import AceStepTransformer1DModel, StableAudioDiTModel, T5FilmDecoder
from diffusers.models.transformers.transformer_longcat_audio_dit import LongCatAudioDiTTransformer
from diffusers.models.transformers.transformer_minimax_music3 import MiniMaxMusic3Transformer1DModel
from diffusers.models.transformers.transformer_stable_audio3 import StableAudio3DiTModel
from torch import nn

from tests.tiny import _smooth
from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.inputs import CHANNELS, HEADS, HIDDEN, TEXT, TEXT_DIM, prompt, prompt_mask, slow

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
        "encoder_hidden_states": prompt(),
        "context_latents": noise(1, 16, 2 * CHANNELS, role=2),
    }


# LongCat


def _audio_dit(adaln_type: str = "global") -> nn.Module:
    model = make(
        LongCatAudioDiTTransformer,
        dit_dim=HIDDEN,
        dit_depth=5,
        dit_heads=2,
        dit_text_dim=TEXT_DIM,
        latent_dim=8,
        adaln_type=adaln_type,
    )
    slow(cast(Any, model).time_embed.time_mlp[0])
    return model


def _audio_dit_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, 12, 8), step, total),
        "encoder_hidden_states": prompt(),
        "encoder_attention_mask": prompt_mask().bool(),
        "timestep": timestep(step, total, scale=1.0),
        "attention_mask": torch.ones(1, 12, dtype=torch.bool),
        "latent_cond": noise(1, 12, 8, role=2),
    }


# MiniMax Music


def _music3() -> nn.Module:
    model = make(
        MiniMaxMusic3Transformer1DModel,
        **HEADS,
        in_channels=8,
        condition_dim=TEXT_DIM,
        num_layers=5,
        ff_inner_dim=64,
        rotary_dim=8,
        fourier_embedding_dim=16,
    )
    cast(Any, model).time_proj.weight.data *= 0.2
    return model


def _music3_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, 8, 12), step, total),
        "timestep": timestep(step, total, scale=1.0),
        "encoder_hidden_states": noise(1, 12, TEXT_DIM, role=1),
    }


# Stable Audio


def _stable_audio() -> nn.Module:
    return make(
        StableAudioDiTModel,
        **HEADS,
        sample_size=16,
        in_channels=CHANNELS,
        num_layers=6,
        num_key_value_attention_heads=1,
        out_channels=CHANNELS,
        cross_attention_dim=HIDDEN // 2,
        time_proj_dim=16,
        global_states_input_dim=8,
        cross_attention_input_dim=TEXT_DIM,
    )


def _stable_audio_inputs(step: int, total: int) -> dict[str, Any]:
    """Rotary embeddings for half of a head's channels, for 16 latents behind one global token."""
    angles = torch.arange(17)[:, None] * 0.1 ** torch.arange(4).repeat(2)
    return {
        "hidden_states": latent((1, CHANNELS, 16), step, total),
        "timestep": timestep(step, total, scale=1.0),
        "encoder_hidden_states": prompt(),
        "global_hidden_states": noise(1, 1, 8, role=2),
        "rotary_embedding": (angles.cos(), angles.sin()),
    }


def _stable_audio3() -> nn.Module:
    return make(
        StableAudio3DiTModel,
        io_channels=CHANNELS,
        embed_dim=HIDDEN,
        depth=6,
        num_heads=2,
        cond_token_dim=TEXT_DIM,
        global_cond_dim=8,
        local_add_cond_dim=CHANNELS + 1,
        timestep_features_dim=16,
        num_memory_tokens=4,
    )


def _stable_audio3_inputs(step: int, total: int, inpaint: bool = False) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, CHANNELS, 16), step, total),
        "timestep": timestep(step, total, scale=1.0),
        "encoder_hidden_states": prompt(),
        "global_hidden_states": noise(1, 8, role=2),
        "encoder_attention_mask": prompt_mask(),
        "local_add_cond": noise(1, CHANNELS + 1, 16, role=3) if inpaint else None,
    }


# Spectrograms


def _t5_film() -> nn.Module:
    return make(
        T5FilmDecoder, input_dims=8, targets_length=16, d_model=HIDDEN, num_layers=6, num_heads=2, d_kv=16, d_ff=64
    )


def _t5_film_inputs(step: int, total: int) -> dict[str, Any]:
    """Encoded notes and encoded context, each with its mask; the decoder has no keyword `hidden_states`."""
    masks = torch.ones(1, TEXT), torch.zeros(1, 4)
    return {
        "encodings_and_masks": [
            (prompt(dim=HIDDEN), masks[0]),
            (noise(1, 4, HIDDEN, role=2), masks[1]),
        ],
        "decoder_input_tokens": latent((1, 16, 8), step, total),
        "decoder_noise_time": timestep(step, total, scale=0.99),
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("AceStepTransformer1DModel", _ace_step, _ace_step_inputs),
    Entry("LongCatAudioDiTTransformer", _audio_dit, _audio_dit_inputs),
    Entry("LongCatAudioDiTTransformer/local", partial(_audio_dit, "local"), _audio_dit_inputs),
    Entry("MiniMaxMusic3Transformer1DModel", _music3, _music3_inputs),
    Entry("StableAudio3DiTModel", _stable_audio3, _stable_audio3_inputs),
    Entry("StableAudio3DiTModel/inpaint", _stable_audio3, partial(_stable_audio3_inputs, inpaint=True)),
    Entry("StableAudioDiTModel", _stable_audio, _stable_audio_inputs),
    Entry("T5FilmDecoder", _t5_film, _t5_film_inputs),
)
