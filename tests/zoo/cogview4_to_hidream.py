"""The transformer classes of diffusers from CogView 4 to HiDream, and Flux 2 and 3."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, cast

import torch
from diffusers import (
    CogView4Transformer2DModel,
    ConsisIDTransformer3DModel,
    CosmosTransformer3DModel,
    EasyAnimateTransformer3DModel,
    ErnieImageTransformer2DModel,
    Flux2Transformer2DModel,
    GlmImageTransformer2DModel,
    HeliosTransformer3DModel,
    HiDreamImageTransformer2DModel,
)
from diffusers.models.transformers.transformer_cosmos3 import Cosmos3OmniTransformer
from diffusers.models.transformers.transformer_flux2 import (
    Flux2KVAttnProcessor,
    Flux2KVCache,
    Flux2KVParallelSelfAttnProcessor,
)
from diffusers.models.transformers.transformer_flux3 import Flux3Transformer2DModel
from diffusers.models.transformers.transformer_glm_image import GlmImageKVCache
from torch import nn

from tests.zoo.base import Entry, latent, make, noise, timestep

HIDDEN = 32
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}
CHANNELS = 4
SIDE = 8  # latent height and width
PATCHES = 16  # image tokens of an 8x8 latent
FRAMES = 2
TEXT = 6  # tokens
TEXT_DIM = 16


def _text(dim: int = TEXT_DIM) -> torch.Tensor:
    return noise(1, TEXT, dim, role=1)


def _residuals(count: int, *shape: int) -> list[torch.Tensor]:
    """What a ControlNet adds behind the blocks."""
    return [0.2 * noise(*shape, role=50 + i) for i in range(count)]


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


# Flux 2


def _grid(side: int = 4, axis: int = 0) -> torch.Tensor:
    """Positions `(t, h, w, l)` of an image's tokens."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    zeros = torch.zeros_like(rows)
    return torch.stack([zeros + axis, rows, columns, zeros], dim=-1).reshape(-1, 4).float()


def _flux2(**config: Any) -> nn.Module:
    return make(
        Flux2Transformer2DModel,
        **HEADS,
        in_channels=CHANNELS * 4,
        num_layers=4,
        num_single_layers=4,
        joint_attention_dim=TEXT_DIM,
        timestep_guidance_channels=HIDDEN,
        axes_dims_rope=(4, 4, 4, 4),
        **config,
    )


def _flux2_inputs(step: int, total: int, images: int = 1, **more: Any) -> dict[str, Any]:
    """Further images are those that an edit is conditioned on: tokens behind the latents that stay as they are."""
    fixed = noise(1, (images - 1) * PATCHES, CHANNELS * 4, role=2)
    text_ids = torch.zeros(TEXT, 4)
    text_ids[:, 3] = torch.arange(TEXT)
    return {
        "hidden_states": torch.cat([latent((1, PATCHES, CHANNELS * 4), step, total), fixed], dim=1),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total, scale=1.0),
        "img_ids": torch.cat([_grid(axis=10 * i) for i in range(images)]),
        "txt_ids": text_ids,
        "guidance": torch.tensor([4.0]),
        **more,
    }


def _flux2_kv() -> nn.Module:
    """As the KV pipeline of Klein sets it up."""
    model = _flux2()
    for block in cast(Iterable[Any], model.get_submodule("transformer_blocks")):
        block.attn.set_processor(Flux2KVAttnProcessor())
    for block in cast(Iterable[Any], model.get_submodule("single_transformer_blocks")):
        block.attn.set_processor(Flux2KVParallelSelfAttnProcessor())
    return model


def _flux2_kv_inputs(step: int, total: int) -> dict[str, Any]:
    """The first step has reference tokens before the latents and returns their keys and values, which later ones get.

    Here later ones get others, so that the arguments depend on the step alone.
    """
    inputs = _flux2_inputs(step, total)
    if step == 0:
        fixed = noise(1, PATCHES, CHANNELS * 4, role=2)
        tokens = torch.cat([fixed, inputs["hidden_states"]], dim=1)
        ids = torch.cat([_grid(axis=10), _grid()])
        extract = {"kv_cache_mode": "extract", "num_ref_tokens": PATCHES}
        return {**inputs, "hidden_states": tokens, "img_ids": ids, **extract}
    cache = Flux2KVCache(4, 4)
    cache.num_ref_tokens = PATCHES
    for index, layer in enumerate([*cache.double_block_caches, *cache.single_block_caches]):
        layer.store(noise(1, PATCHES, 2, 16, role=60 + index), noise(1, PATCHES, 2, 16, role=80 + index))
    return {**inputs, "kv_cache": cache, "kv_cache_mode": "cached"}


# CogView 4


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


def _cogview4_inputs(step: int, total: int) -> dict[str, Any]:
    size = torch.tensor([[64.0, 64.0]])
    return _image(step, total, original_size=size, target_size=size, crop_coords=torch.zeros(1, 2))


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
    return _image(step, total, hidden_states=latent((1, FRAMES, CHANNELS, SIDE, SIDE), step, total), **more)


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


# Cosmos


def _cosmos(**config: Any) -> nn.Module:
    """Without the padding mask, which needs torchvision."""
    return make(
        CosmosTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS + 1,
        out_channels=CHANNELS,
        num_layers=6,
        text_embed_dim=TEXT_DIM,
        adaln_lora_dim=8,
        max_size=(4, SIDE, SIDE),
        concat_padding_mask=False,
        **config,
    )


def _cosmos_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    """A timestep from 0 to 1, and a mask of the frames that are given."""
    mask = torch.zeros(1, 1, FRAMES, SIDE, SIDE)
    return _video(step, total, timestep=timestep(step, total, scale=1.0), fps=16, condition_mask=mask, **more)


def _cosmos25_inputs(step: int, total: int) -> dict[str, Any]:
    """A timestep per frame, the first of which is given, and the features of an image beside the text."""
    times = timestep(step, total, scale=1.0).repeat(FRAMES)
    times[0] = 0.1
    inputs = _cosmos_inputs(step, total, encoder_hidden_states=(_text(dim=24), noise(1, 5, 8, role=2)))
    inputs["condition_mask"][:, :, 0] = 1
    return {**inputs, "timestep": times.reshape(1, 1, FRAMES, 1, 1)}


COSMOS25 = {
    "extra_pos_embed_type": None,
    "use_crossattn_projection": True,
    "crossattn_proj_in_channels": 24,
    "encoder_hidden_states_channels": TEXT_DIM,
    "img_context_dim_in": 8,
    "img_context_num_tokens": 5,
    "img_context_dim_out": HIDDEN,
}
COSMOS_CONTROL: dict[str, Any] = {"block_controlnet_hidden_states": _residuals(3, 1, FRAMES * PATCHES, HIDDEN)}


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
        "encoder_hidden_states_t5": _text(),
        "encoder_hidden_states_llama3": noise(8, 1, TEXT, 12, role=2),
        "pooled_embeds": noise(1, 8, role=3),
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
    return _image(
        step,
        total,
        prior_token_id=torch.arange(PATCHES)[None] % 12,
        prior_token_drop=torch.zeros(1, PATCHES, dtype=torch.bool),
        target_size=size,
        crop_coords=torch.zeros(1, 2),
        kv_caches=cache if edit else None,
    )


# Helios


def _helios(**config: Any) -> nn.Module:
    return make(
        HeliosTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=64,
        ffn_dim=2 * HIDDEN,
        num_layers=6,
        rope_dim=(4, 6, 6),
        **config,
    )


def _helios_inputs(step: int, total: int) -> dict[str, Any]:
    """With a history of earlier frames at three scales: 16 + 4 + 1 tokens before those of the latents."""
    return _video(
        step,
        total,
        indices_hidden_states=torch.arange(7, 7 + FRAMES)[None],
        indices_latents_history_short=torch.tensor([[6]]),
        indices_latents_history_mid=torch.tensor([[4, 5]]),
        indices_latents_history_long=torch.tensor([[0, 1, 2, 3]]),
        latents_history_short=noise(1, CHANNELS, 1, SIDE, SIDE, role=2),
        latents_history_mid=noise(1, CHANNELS, 2, SIDE, SIDE, role=3),
        latents_history_long=noise(1, CHANNELS, 4, SIDE, SIDE, role=4),
    )


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


# Flux 3


def _flux3(**config: Any) -> nn.Module:
    return make(
        Flux3Transformer2DModel,
        **HEADS,
        in_channels=CHANNELS * 4,
        cond_in_channels=CHANNELS * 4,
        num_layers=4,
        num_single_layers=4,
        joint_attention_dim=TEXT_DIM,
        timestep_channels=HIDDEN,
        axes_dims_rope=(4, 4, 4, 4),
        **config,
    )


def _flux3_inputs(step: int, total: int, edit: bool = True, **more: Any) -> dict[str, Any]:
    """An edit brings the tokens of a reference image, which have blocks of their own."""
    fixed = {"image_cond_hidden_states": noise(1, PATCHES, CHANNELS * 4, role=2), "image_cond_ids": _grid(axis=10)}
    inputs = _flux2_inputs(step, total)
    del inputs["guidance"]
    return {**inputs, **(fixed if edit else {}), **more}


def _flux3_flow_map_inputs(step: int, total: int) -> dict[str, Any]:
    return _flux3_inputs(step, total, target_timestep=timestep(step + 1, total, scale=1.0))


ENTRIES: tuple[Entry, ...] = (
    Entry("CogView4Transformer2DModel", _cogview4, _cogview4_inputs),
    Entry("Flux2Transformer2DModel", _flux2, _flux2_inputs),
    Entry("Flux2Transformer2DModel/edit", partial(_flux2, guidance_embeds=False), partial(_flux2_inputs, images=2)),
    Entry("Flux2Transformer2DModel/kv", _flux2_kv, _flux2_kv_inputs),
    Entry("ConsisIDTransformer3DModel", _consisid, _consisid_inputs),
    Entry("ConsisIDTransformer3DModel/face", partial(_consisid, **FACE), partial(_consisid_inputs, **FACE_INPUTS)),
    Entry("CosmosTransformer3DModel", _cosmos, _cosmos_inputs),
    Entry("CosmosTransformer3DModel/2.5", partial(_cosmos, **COSMOS25), _cosmos25_inputs),
    Entry(
        "CosmosTransformer3DModel/controlnet",
        partial(_cosmos, controlnet_block_every_n=2),
        partial(_cosmos_inputs, **COSMOS_CONTROL),
    ),
    Entry("HiDreamImageTransformer2DModel", _hidream, _hidream_inputs),
    Entry("HiDreamImageTransformer2DModel/narrow", _hidream, partial(_hidream_inputs, width=4)),
    Entry("EasyAnimateTransformer3DModel", _easyanimate, _video),
    Entry(
        "EasyAnimateTransformer3DModel/control",
        partial(_easyanimate, in_channels=3 * CHANNELS + 1, text_embed_dim_t5=12, after_norm=True),
        partial(_video, **EASYANIMATE_CONTROL),
    ),
    Entry("ErnieImageTransformer2DModel", _ernie, _ernie_inputs),
    Entry("ErnieImageTransformer2DModel/guidance", _ernie, partial(_ernie_inputs, batch=2)),
    Entry("GlmImageTransformer2DModel", _glm, _glm_inputs),
    Entry("GlmImageTransformer2DModel/edit", _glm, partial(_glm_inputs, edit=True)),
    Entry("HeliosTransformer3DModel", _helios, _helios_inputs),
    Entry("HeliosTransformer3DModel/distilled", partial(_helios, is_amplify_history=True), _helios_inputs),
    Entry(
        "HeliosTransformer3DModel/first_chunk",
        partial(_helios, guidance_cross_attn=False, zero_history_timestep=False),
        _video,
    ),
    Entry("Cosmos3OmniTransformer", _cosmos3, _cosmos3_inputs),
    Entry("Cosmos3OmniTransformer/image_to_video", _cosmos3, partial(_cosmos3_inputs, given=1)),
    Entry("Cosmos3OmniTransformer/omni", partial(_cosmos3, **COSMOS3_OMNI), partial(_cosmos3_inputs, omni=True)),
    Entry("Flux3Transformer2DModel", _flux3, _flux3_inputs),
    Entry("Flux3Transformer2DModel/text_to_image", _flux3, partial(_flux3_inputs, edit=False)),
    Entry("Flux3Transformer2DModel/flow_map", partial(_flux3, flow_map=True), _flux3_flow_map_inputs),
)
