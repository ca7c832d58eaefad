"""Transformers that denoise a video and its sound together.

Cosmos 3, LTX 2, MiniMax H3; Kandinsky 6 is in `video_kandinsky`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers import LTX2VideoTransformer3DModel
from diffusers.models.transformers.transformer_cosmos3 import Cosmos3OmniTransformer
from diffusers.models.transformers.transformer_minimax_h3 import MiniMaxH3Transformer3DModel
from torch import nn

from tests.zoo.base import Entry, latent, make, timestep
from tests.zoo.inputs import CHANNELS, FRAMES, HEADS, HIDDEN, PATCHES, SIDE, TEXT, TEXT_DIM, places, prompt, prompt_mask
from tests.zoo.video_cross_attention import ltx_inputs

# Cosmos 3


def _cosmos3(**config: Any) -> nn.Module:
    return make(
        Cosmos3OmniTransformer,
        head_dim=16,
        hidden_size=HIDDEN,
        intermediate_size=64,
        latent_channel=CHANNELS,
        num_attention_heads=2,
        num_hidden_layers=6,
        num_key_value_heads=1,
        patch_latent_dim=CHANNELS * 4,
        vocab_size=20,
        rope_axes_dim=(4, 2, 2),
        **config,
    )


def _modality(name: str, start: int, shape: tuple[int, int, int], given: int, time: torch.Tensor) -> dict[str, Any]:
    """The arguments that say where in the sequence a modality's tokens are, the first `given` frames not noisy."""
    frame = shape[1] * shape[2]
    tokens = torch.arange(start, start + shape[0] * frame)
    noisy = tokens[given * frame :]
    return {
        f"{name}_token_shapes": [shape],
        f"{name}_sequence_indexes": tokens,
        f"{name}_mse_loss_indexes": noisy,
        f"{name}_timesteps": time.expand(len(noisy)),
        f"{name}_noisy_frame_indexes": [torch.arange(given, shape[0])],
    }


def _cosmos3_inputs(step: int, total: int, given: int = 0, omni: bool = False) -> dict[str, Any]:
    """One sequence without a batch: text, video and, where the model has them, sound and actions."""
    time = timestep(step, total)
    start = TEXT + FRAMES * PATCHES
    sequence = start + (12 if omni else 0)
    inputs = {
        "input_ids": torch.arange(TEXT),
        "text_indexes": torch.arange(TEXT),
        "position_ids": torch.arange(sequence).expand(3, -1),
        "und_len": TEXT,
        "sequence_length": sequence,
        "vision_tokens": [latent((1, CHANNELS, FRAMES, SIDE, SIDE), step, total)],
        **_modality("vision", TEXT, (FRAMES, 4, 4), given, time),
    }
    if omni:
        inputs |= _modality("sound", start, (8, 1, 1), 0, time) | _modality("action", start + 8, (4, 1, 1), 1, time)
        inputs["sound_tokens"] = [latent((3, 8), step, total)]
        inputs["action_tokens"] = [latent((4, 5), step, total)]
        inputs["action_domain_ids"] = [torch.tensor(1)]
    return inputs


COSMOS3_OMNI = {
    "action_dim": 5,
    "action_gen": True,
    "num_embodiment_domains": 2,
    "sound_dim": 3,
    "sound_gen": True,
    "hidden_act": "relu2",
    "qk_norm_for_text": False,
    "use_und_k_norm_for_gen": True,
}


# LTX 2


def _ltx2(**config: Any) -> nn.Module:
    return make(
        LTX2VideoTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        cross_attention_dim=HIDDEN,
        audio_in_channels=CHANNELS,
        audio_out_channels=CHANNELS,
        audio_num_attention_heads=2,
        audio_attention_head_dim=8,
        audio_cross_attention_dim=16,
        caption_channels=TEXT_DIM,
        num_layers=5,
        **config,
    )


def _ltx2_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    return {
        **ltx_inputs(step, total),
        "audio_hidden_states": latent((1, 8, CHANNELS), step, total, role=1),
        "audio_encoder_hidden_states": prompt(role=2),
        "sigma": timestep(step, total),
        "audio_encoder_attention_mask": prompt_mask(),
        "audio_num_frames": 8,
        **more,
    }


def _ltx23() -> nn.Module:
    return _ltx2(
        gated_attn=True,
        cross_attn_mod=True,
        audio_gated_attn=True,
        audio_cross_attn_mod=True,
        use_prompt_embeddings=False,
        perturbed_attn=True,
        rope_type="split",
    )


def _ltx23_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """The connectors have already brought the text to the width of either stream."""
    text = {"encoder_hidden_states": prompt(dim=HIDDEN), "audio_encoder_hidden_states": prompt(dim=16, role=2)}
    return _ltx2_inputs(step, total, **text, use_cross_timestep=True, **more)


# MiniMax H3


def _h3() -> nn.Module:
    return make(
        MiniMaxH3Transformer3DModel,
        **HEADS,
        hidden_size=HIDDEN,
        num_layers=5,
        ffn_dim=64,
        in_channels=CHANNELS,
        audio_in_channels=CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=64,
        time_embed_hidden_dim=HIDDEN,
        time_embed_dim=16,
        rope_freq_dim=2,
    )


def _h3_inputs(step: int, total: int) -> dict[str, Any]:
    """Text, then video, then audio; the text at the second noise level, which is 0."""
    video, audio = FRAMES * PATCHES, 8
    sizes = torch.tensor([TEXT, video, audio])
    kinds = torch.tensor([1, 0, 2]).repeat_interleave(sizes)
    text, frames, sound = torch.split(torch.arange(len(kinds)), sizes.tolist())
    positions = torch.zeros(len(kinds), 3)
    positions[text, 0] = text.float()
    positions[frames] = torch.cat([places(TEXT + frame) for frame in range(FRAMES)])
    positions[sound, 0] = TEXT + torch.arange(audio) / 4
    return {
        "hidden_states": latent((1, video, CHANNELS * 4), step, total),
        "audio_hidden_states": latent((1, audio, CHANNELS), step, total, role=1),
        "encoder_hidden_states": prompt(),
        "timestep": torch.cat([timestep(step, total), torch.zeros(1)]),
        "timestep_indices": (kinds == 1).long(),
        "token_tags": kinds,
        "position_ids": positions,
        "video_indices": frames,
        "audio_indices": sound,
        "text_indices": text,
    }


ENTRIES: tuple[Entry, ...] = (
    Entry("Cosmos3OmniTransformer", _cosmos3, _cosmos3_inputs),
    Entry("Cosmos3OmniTransformer/image_to_video", _cosmos3, partial(_cosmos3_inputs, given=1)),
    Entry("Cosmos3OmniTransformer/omni", partial(_cosmos3, **COSMOS3_OMNI), partial(_cosmos3_inputs, omni=True)),
    Entry("LTX2VideoTransformer3DModel", _ltx2, _ltx2_inputs),
    Entry("LTX2VideoTransformer3DModel/isolated", _ltx2, partial(_ltx2_inputs, isolate_modalities=True)),
    Entry("LTX2VideoTransformer3DModel/2.3", _ltx23, _ltx23_inputs),
    Entry("LTX2VideoTransformer3DModel/stg", _ltx23, partial(_ltx23_inputs, spatio_temporal_guidance_blocks=[2])),
    Entry("MiniMaxH3Transformer3DModel", _h3, _h3_inputs),
)
