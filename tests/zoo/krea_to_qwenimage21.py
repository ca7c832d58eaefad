"""The transformer classes of diffusers from Krea 2 to Qwen-Image 2.1."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from diffusers import (
    LatteTransformer3DModel,
    LTX2VideoTransformer3DModel,
    LTXVideoTransformer3DModel,
    Lumina2Transformer2DModel,
    LuminaNextDiT2DModel,
    MochiTransformer3DModel,
    OmniGenTransformer2DModel,
    PixArtTransformer2DModel,
    PriorTransformer,
)
from diffusers.models.embeddings import get_2d_rotary_pos_embed_lumina
from diffusers.models.transformers.transformer_krea2 import Krea2Transformer2DModel
from diffusers.models.transformers.transformer_longcat_audio_dit import LongCatAudioDiTTransformer
from diffusers.models.transformers.transformer_longcat_image import LongCatImageTransformer2DModel
from diffusers.models.transformers.transformer_minimax_h3 import MiniMaxH3Transformer3DModel
from diffusers.models.transformers.transformer_minimax_music3 import MiniMaxMusic3Transformer1DModel
from diffusers.models.transformers.transformer_motif_video import MotifVideoTransformer3DModel
from diffusers.models.transformers.transformer_nucleusmoe_image import NucleusMoEImageTransformer2DModel
from diffusers.models.transformers.transformer_ovis_image import OvisImageTransformer2DModel
from diffusers.models.transformers.transformer_prx import PRXTransformer2DModel
from diffusers.models.transformers.transformer_qwenimage21 import QwenImage21KVCache, QwenImage21Transformer2DModel
from torch import nn

from tests.tiny import _smooth
from tests.zoo.base import Entry, latent, make, noise, timestep

HIDDEN = 32
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}
CHANNELS = 4
SIDE = 4  # latent height and width, and image tokens per side of the packed ones
TOKENS = SIDE * SIDE
FRAMES = 2
TEXT = 6  # tokens
TEXT_DIM = 16


def _text(dim: int = TEXT_DIM, role: int = 1) -> torch.Tensor:
    return noise(1, TEXT, dim, role=role)


def _mask() -> torch.Tensor:
    """A prompt mask whose last token is padding."""
    return torch.tensor([[1] * (TEXT - 1) + [0]])


def _slow(linear: nn.Module) -> None:
    """Make a time embedder that is no `TimestepEmbedding` smooth too."""
    _smooth(cast(Any, SimpleNamespace(linear_1=linear)))


def _image(step: int, total: int, scale: float = 1000.0) -> dict[str, Any]:
    """Unpacked image latents, text, a timestep."""
    return {
        "hidden_states": latent((1, CHANNELS, SIDE * 2, SIDE * 2), step, total),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total, scale=scale),
    }


def _video(step: int, total: int) -> dict[str, Any]:
    return {
        **_image(step, total),
        "hidden_states": latent((1, CHANNELS, FRAMES, SIDE * 2, SIDE * 2), step, total),
    }


def _packed(step: int, total: int, channels: int = 16) -> dict[str, Any]:
    """Packed image latents, text, a timestep in (0, 1]."""
    return {
        "hidden_states": latent((1, TOKENS, channels), step, total),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total, scale=1.0),
    }


def _ids(first: int = 0) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return torch.stack([torch.full_like(rows, first), rows, columns], dim=-1).reshape(-1, 3).float()


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
    _slow(cast(nn.Module, cast(nn.Module, model.time_embed).linear_1))
    return model


def _krea2_inputs(step: int, total: int, masked: bool = False) -> dict[str, Any]:
    return {
        **_packed(step, total),
        "encoder_hidden_states": noise(1, TEXT, 3, TEXT_DIM, role=1),
        "position_ids": torch.cat([torch.zeros(TEXT, 3), _ids()]),
        "encoder_attention_mask": _mask().bool() if masked else None,
    }


# LTX


def _ltx() -> nn.Module:
    return make(
        LTXVideoTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        cross_attention_dim=HIDDEN,
        caption_channels=TEXT_DIM,
        num_layers=5,
    )


def _ltx_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, FRAMES * TOKENS, CHANNELS), step, total),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total),
        "encoder_attention_mask": _mask(),
        "num_frames": FRAMES,
        "height": SIDE,
        "width": SIDE,
    }


def _frame_timesteps(step: int, total: int) -> torch.Tensor:
    """One timestep per token: the first frame is given."""
    each = timestep(step, total)[:, None].repeat(1, FRAMES * TOKENS)
    each[:, :TOKENS] = 0
    return each


def _ltx_condition_inputs(step: int, total: int) -> dict[str, Any]:
    inputs = _ltx_inputs(step, total)
    grid = torch.meshgrid(torch.arange(FRAMES) * 8, torch.arange(SIDE) * 32, torch.arange(SIDE) * 32, indexing="ij")
    return {
        **{key: value for key, value in inputs.items() if key not in ("num_frames", "height", "width")},
        "timestep": _frame_timesteps(step, total)[..., None],
        "video_coords": torch.stack(grid).reshape(1, 3, -1).float(),
    }


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
        **_ltx_inputs(step, total),
        "audio_hidden_states": latent((1, 8, CHANNELS), step, total, role=1),
        "audio_encoder_hidden_states": _text(role=2),
        "sigma": timestep(step, total),
        "audio_encoder_attention_mask": _mask(),
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
    text = {"encoder_hidden_states": _text(HIDDEN), "audio_encoder_hidden_states": _text(16, role=2)}
    return _ltx2_inputs(step, total, **text, use_cross_timestep=True, **more)


# Latte and PixArt


def _latte() -> nn.Module:
    return make(
        LatteTransformer3DModel,
        **HEADS,
        in_channels=CHANNELS,
        out_channels=2 * CHANNELS,
        num_layers=5,
        cross_attention_dim=HIDDEN,
        attention_bias=True,
        sample_size=2 * SIDE,
        patch_size=2,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=TEXT_DIM,
        video_length=FRAMES,
    )


def _latte_inputs(step: int, total: int, temporal: bool = True) -> dict[str, Any]:
    return {**_video(step, total), "enable_temporal_attentions": temporal}


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
        sample_size=2 * SIDE,
        caption_channels=TEXT_DIM,
        use_additional_conditions=sized,
    )


def _pixart_inputs(step: int, total: int, sized: bool = False) -> dict[str, Any]:
    size = {"resolution": torch.tensor([[64.0, 64.0]]), "aspect_ratio": torch.tensor([[1.0]])}
    none = {"resolution": None, "aspect_ratio": None}
    return {
        **_image(step, total),
        "encoder_attention_mask": _mask(),
        "added_cond_kwargs": size if sized else none,
    }


# LongCat and Ovis


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
    _slow(cast(Any, model).time_embed.time_mlp[0])
    return model


def _audio_dit_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, 12, 8), step, total),
        "encoder_hidden_states": _text(),
        "encoder_attention_mask": _mask().bool(),
        "timestep": timestep(step, total, scale=1.0),
        "attention_mask": torch.ones(1, 12, dtype=torch.bool),
        "latent_cond": noise(1, 12, 8, role=2),
    }


def _longcat_image() -> nn.Module:
    return make(
        LongCatImageTransformer2DModel,
        **HEADS,
        in_channels=16,
        num_layers=4,
        num_single_layers=5,
        joint_attention_dim=TEXT_DIM,
        pooled_projection_dim=TEXT_DIM,
        axes_dims_rope=(4, 6, 6),
    )


def _ovis() -> nn.Module:
    return make(
        OvisImageTransformer2DModel,
        **HEADS,
        in_channels=16,
        out_channels=16,
        num_layers=4,
        num_single_layers=5,
        joint_attention_dim=TEXT_DIM,
        axes_dims_rope=(4, 6, 6),
    )


def _ids_inputs(step: int, total: int) -> dict[str, Any]:
    return {**_packed(step, total), "img_ids": _ids(), "txt_ids": torch.zeros(TEXT, 3)}


def _longcat_edit_inputs(step: int, total: int) -> dict[str, Any]:
    """The latents of the image to edit come behind those of the result."""
    inputs = _ids_inputs(step, total)
    joined = torch.cat([inputs["hidden_states"], noise(1, TOKENS, 16, role=2)], dim=1)
    return {**inputs, "hidden_states": joined, "img_ids": torch.cat([_ids(1), _ids(2)])}


# Lumina


def _lumina2() -> nn.Module:
    return make(
        Lumina2Transformer2DModel,
        sample_size=2 * SIDE,
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
    return {**_image(step, total, scale=1.0), "encoder_attention_mask": _mask()}


def _lumina2_pair_inputs(step: int, total: int) -> dict[str, Any]:
    """Two prompts of unequal length: the joint sequence is padded and masked."""
    mask = torch.cat([_mask(), torch.ones(1, TEXT, dtype=torch.long)])
    return {
        "hidden_states": latent((2, CHANNELS, SIDE * 2, SIDE * 2), step, total),
        "encoder_hidden_states": noise(2, TEXT, TEXT_DIM, role=1),
        "timestep": timestep(step, total, batch=2, scale=1.0),
        "encoder_attention_mask": mask,
    }


def _filled_lumina_next(**config: Any) -> nn.Module:
    model = LuminaNextDiT2DModel(**config)
    nn.init.normal_(model.pad_token, std=0.02)  # diffusers leaves it uninitialised
    return cast(nn.Module, model)


def _lumina_next() -> nn.Module:
    return make(
        _filled_lumina_next,
        sample_size=2 * SIDE,
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
        **_image(step, total, scale=1.0),
        "encoder_mask": _mask(),
        "image_rotary_emb": get_2d_rotary_pos_embed_lumina(16, 8, 8),
        "cross_attention_kwargs": {"base_sequence_length": None},
    }


# MiniMax


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
    video, audio = FRAMES * TOKENS, 8
    sizes = torch.tensor([TEXT, video, audio])
    kinds = torch.tensor([1, 0, 2]).repeat_interleave(sizes)
    text, frames, sound = torch.split(torch.arange(len(kinds)), sizes.tolist())
    positions = torch.zeros(len(kinds), 3)
    positions[text, 0] = text.float()
    positions[frames] = torch.cat([_ids(TEXT + frame) for frame in range(FRAMES)])
    positions[sound, 0] = TEXT + torch.arange(audio) / 4
    return {
        "hidden_states": latent((1, video, CHANNELS * 4), step, total),
        "audio_hidden_states": latent((1, audio, CHANNELS), step, total, role=1),
        "encoder_hidden_states": _text(),
        "timestep": torch.cat([timestep(step, total), torch.zeros(1)]),
        "timestep_indices": (kinds == 1).long(),
        "token_tags": kinds,
        "position_ids": positions,
        "video_indices": frames,
        "audio_indices": sound,
        "text_indices": text,
    }


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
    return {**_video(step, total), "encoder_attention_mask": _mask().bool()}


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
        **_video(step, total),
        "encoder_attention_mask": _mask(),
        "image_embeds": noise(1, 4, TEXT_DIM, role=2) if image else None,
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
        **_packed(step, total),
        "img_shapes": [(1, SIDE, SIDE)],
        "encoder_hidden_states_mask": _mask().bool(),
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
    text = TEXT + (TOKENS if image else 0)
    length = text + 1 + TOKENS
    allowed = torch.ones(length, length).tril()
    allowed[text + 1 :] = 1
    allowed[2 : 2 + TOKENS, 2 : 2 + TOKENS] = 1 if image else allowed[2 : 2 + TOKENS, 2 : 2 + TOKENS]
    return {
        "hidden_states": latent((1, CHANNELS, 2 * SIDE, 2 * SIDE), step, total),
        "timestep": timestep(step, total, scale=1.0),
        "input_ids": torch.arange(text)[None] % 15 + 1,
        "input_img_latents": [noise(1, CHANNELS, 2 * SIDE, 2 * SIDE, role=2)] if image else [],
        "input_image_sizes": {0: [[2, 2 + TOKENS]]} if image else {},
        "attention_mask": allowed[None],
        "position_ids": torch.arange(length)[None],
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
    _slow(cast(Any, model).time_in.in_layer)
    for block in cast(Any, model).blocks:
        block.modulation.lin.weight.data *= 4  # diffusers starts it at 0, which leaves next to no gate
    return model


def _prx_inputs(step: int, total: int) -> dict[str, Any]:
    return {**_image(step, total, scale=1.0), "attention_mask": _mask().bool()}


# The prior of unCLIP


def _prior() -> nn.Module:
    return make(PriorTransformer, **HEADS, num_layers=5, embedding_dim=TEXT_DIM, num_embeddings=TEXT)


def _prior_inputs(step: int, total: int) -> dict[str, Any]:
    return {
        "hidden_states": latent((1, TEXT_DIM), step, total),
        "timestep": timestep(step, total),
        "proj_embedding": noise(1, TEXT_DIM, role=2),
        "encoder_hidden_states": _text(),
        "attention_mask": _mask().bool(),
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
    slots = TOKENS // 4
    before = [False] * 2 + [True] * slots + [False] * 2 if edit else [False] * TEXT
    images = latent((1, TOKENS, 16), step, total)
    valid = torch.ones(1, len(before), dtype=torch.long)
    valid[:, -1] = 0
    return {
        "hidden_states": torch.cat([noise(1, TOKENS, 16, role=2), images], dim=1) if edit else images,
        "encoder_hidden_states": noise(1, len(before), TEXT_DIM, role=1),
        "timestep": timestep(step, total, scale=1.0),
        "img_shapes": [[(1, SIDE, SIDE)] * (2 if edit else 1)],
        "img_mask": torch.tensor([before + [True] * slots]),
        "encoder_hidden_states_mask": valid,
    }


def _qwen21_decode_inputs(step: int, total: int) -> dict[str, Any]:
    """Every step after the first of a run: the text is in the blocks' key-value caches, only image tokens run."""
    kept = QwenImage21KVCache(5)
    for index, layer in enumerate(kept.layer_caches):
        layer.store(noise(1, TEXT, 2, 16, role=30 + index), noise(1, TEXT, 2, 16, role=40 + index))
    return {**_qwen21_inputs(step, total), "kv_cache": kept, "kv_cache_mode": "cached"}


ENTRIES: tuple[Entry, ...] = (
    Entry("Krea2Transformer2DModel", _krea2, _krea2_inputs),
    Entry("Krea2Transformer2DModel/masked", _krea2, partial(_krea2_inputs, masked=True)),
    Entry("LTX2VideoTransformer3DModel", _ltx2, _ltx2_inputs),
    Entry("LTX2VideoTransformer3DModel/isolated", _ltx2, partial(_ltx2_inputs, isolate_modalities=True)),
    Entry("LTX2VideoTransformer3DModel/2.3", _ltx23, _ltx23_inputs),
    Entry("LTX2VideoTransformer3DModel/stg", _ltx23, partial(_ltx23_inputs, spatio_temporal_guidance_blocks=[2])),
    Entry("LTXVideoTransformer3DModel", _ltx, _ltx_inputs),
    Entry("LTXVideoTransformer3DModel/condition", _ltx, _ltx_condition_inputs),
    Entry("LatteTransformer3DModel", _latte, _latte_inputs),
    Entry("LatteTransformer3DModel/spatial", _latte, partial(_latte_inputs, temporal=False)),
    Entry("LongCatAudioDiTTransformer", _audio_dit, _audio_dit_inputs),
    Entry("LongCatAudioDiTTransformer/local", partial(_audio_dit, "local"), _audio_dit_inputs),
    Entry("LongCatImageTransformer2DModel", _longcat_image, _ids_inputs),
    Entry("LongCatImageTransformer2DModel/edit", _longcat_image, _longcat_edit_inputs),
    Entry("Lumina2Transformer2DModel", _lumina2, _lumina2_inputs),
    Entry("Lumina2Transformer2DModel/pair", _lumina2, _lumina2_pair_inputs),
    Entry("LuminaNextDiT2DModel", _lumina_next, _lumina_next_inputs),
    Entry("MiniMaxH3Transformer3DModel", _h3, _h3_inputs),
    Entry("MiniMaxMusic3Transformer1DModel", _music3, _music3_inputs),
    Entry("MochiTransformer3DModel", _mochi, _mochi_inputs),
    Entry("MotifVideoTransformer3DModel", _motif, _motif_inputs),
    Entry("MotifVideoTransformer3DModel/decoder", _motif_decoder, partial(_motif_inputs, image=True)),
    Entry("NucleusMoEImageTransformer2DModel", _nucleus, _nucleus_inputs),
    Entry("OmniGenTransformer2DModel", _omnigen, _omnigen_inputs),
    Entry("OmniGenTransformer2DModel/image", _omnigen, partial(_omnigen_inputs, image=True)),
    Entry("OvisImageTransformer2DModel", _ovis, _ids_inputs),
    Entry("PRXTransformer2DModel", _prx, _prx_inputs),
    Entry("PRXTransformer2DModel/pixel", partial(_prx, bottleneck_size=8, resolution_embeds=True), _prx_inputs),
    Entry("PixArtTransformer2DModel", _pixart, _pixart_inputs),
    Entry("PixArtTransformer2DModel/sized", partial(_pixart, sized=True), partial(_pixart_inputs, sized=True)),
    Entry("PriorTransformer", _prior, _prior_inputs),
    Entry("QwenImage21Transformer2DModel", _qwen21, _qwen21_inputs),
    Entry("QwenImage21Transformer2DModel/decode", _qwen21, _qwen21_decode_inputs),
    Entry("QwenImage21Transformer2DModel/edit", _qwen21, partial(_qwen21_inputs, edit=True)),
)
