"""The transformer classes of diffusers from Qwen-Image to Z-Image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from diffusers import (
    QwenImageTransformer2DModel,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    SkyReelsV2Transformer3DModel,
    StableAudioDiTModel,
    T5FilmDecoder,
    Transformer2DModel,
    UVit2DModel,
    WanAnimateTransformer3DModel,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)
from diffusers.models.transformers.transformer_sana_video import SanaVideoTransformer3DModel
from diffusers.models.transformers.transformer_stable_audio3 import StableAudio3DiTModel
from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel
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


def _text(tokens: int = TEXT, dim: int = TEXT_DIM) -> torch.Tensor:
    return noise(1, tokens, dim, role=1)


def _mask() -> torch.Tensor:
    """A prompt mask whose last token is padding."""
    return torch.tensor([[1] * (TEXT - 1) + [0]])


def _residuals(count: int, *shape: int) -> tuple[torch.Tensor, ...]:
    """What a ControlNet adds behind the blocks."""
    return tuple(0.2 * noise(*shape, role=50 + i) for i in range(count))


def _slow(linear: nn.Module) -> None:
    """Make a time embedder that is no `TimestepEmbedding` smooth too."""
    _smooth(cast(Any, SimpleNamespace(linear_1=linear)))


def _tokens(shape: tuple[int, ...], classes: int, step: int, total: int) -> torch.Tensor:
    """Return discrete tokens, of which more and more go over from one fixed choice to another."""
    generator = torch.Generator().manual_seed(7)
    first, second = (torch.randint(classes, shape, generator=generator) for _ in range(2))
    return torch.where(torch.rand(shape, generator=generator) < step / total, second, first)


def _image(step: int, total: int, **more: Any) -> dict[str, Any]:
    """Image latents, text, a timestep."""
    return {
        "hidden_states": latent((1, CHANNELS, SIDE, SIDE), step, total),
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total),
        **more,
    }


def _video(step: int, total: int, channels: int = CHANNELS, frames: int = FRAMES, **more: Any) -> dict[str, Any]:
    return {**_image(step, total), "hidden_states": latent((1, channels, frames, SIDE, SIDE), step, total), **more}


# Qwen-Image


def _qwen(**config: Any) -> nn.Module:
    return make(QwenImageTransformer2DModel, **{**FAMILIES["qwenimage"].config, **config})


def _qwen_inputs(step: int, total: int, images: int = 1, **more: Any) -> dict[str, Any]:
    """Further images are those that the edit pipelines condition on: tokens behind the latents that stay as they are."""
    fixed = noise(1, (images - 1) * PATCHES, CHANNELS * 4, role=2)
    return {
        "hidden_states": torch.cat([latent((1, PATCHES, CHANNELS * 4), step, total), fixed], dim=1),
        "encoder_hidden_states": _text(),
        "encoder_hidden_states_mask": _mask(),
        "timestep": timestep(step, total, scale=1.0),
        "img_shapes": [[(1, 4, 4)] * images],
        **more,
    }


def _qwen_layered(step: int, total: int) -> dict[str, Any]:
    return _qwen_inputs(step, total, images=3, additional_t_cond=torch.tensor([0]))


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
    return _image(step, total, pooled_projections=noise(1, 8, role=2), **more)


# Sana


def _sana(cls: Callable[..., nn.Module], **config: Any) -> nn.Module:
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


# Wan and its relatives


WAN = {**FAMILIES["wan"].config, "num_layers": 6}
WAN_IMAGE = {"image_dim": 8, "added_kv_proj_dim": HIDDEN}
WAN_TEXT = 512  # text tokens of the models with image attention, which are hard-coded


def _wan_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    return _video(step, total, **more)


def _wan_i2v(step: int, total: int, channels: int = CHANNELS) -> dict[str, Any]:
    fixed = noise(1, CHANNELS, FRAMES, SIDE, SIDE, role=2)
    inputs = _wan_inputs(step, total)
    return {
        **inputs,
        "hidden_states": torch.cat([inputs["hidden_states"], fixed], dim=1),
        "encoder_hidden_states": _text(WAN_TEXT),
        "encoder_hidden_states_image": noise(1, 5, 8, role=3),
    }


def _wan_ti2v(step: int, total: int) -> dict[str, Any]:
    """Wan 2.2 with a timestep per token, 0 for those of the first frame, which is given."""
    times = timestep(step, total).repeat(1, FRAMES * PATCHES)
    times[:, :PATCHES] = 0
    return _wan_inputs(step, total, timestep=times)


def _skyreels_forcing(step: int, total: int) -> dict[str, Any]:
    """A timestep per frame."""
    times = torch.cat([timestep(step, total), timestep(max(step - 1, 0), total)]).reshape(1, FRAMES)
    return _wan_inputs(step, total, timestep=times, enable_diffusion_forcing=True, fps=torch.tensor([1]))


def _vace_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    return _wan_inputs(step, total, control_hidden_states=noise(1, 8, FRAMES, SIDE, SIDE, role=2), **more)


def _wan_animate() -> nn.Module:
    return make(
        WanAnimateTransformer3DModel,
        **HEADS,
        in_channels=2 * CHANNELS + 4,
        latent_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=64,
        ffn_dim=2 * HIDDEN,
        num_layers=8,
        image_dim=8,
        rope_max_seq_len=32,
        motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8},
        motion_encoder_size=16,
        motion_style_dim=8,
        motion_dim=4,
        motion_encoder_dim=8,
        face_encoder_hidden_dim=8,
        face_encoder_num_heads=2,
        inject_face_latents_blocks=2,
    )


def _wan_animate_inputs(step: int, total: int) -> dict[str, Any]:
    """Two latent frames behind the reference's, five face frames."""
    fixed = noise(1, CHANNELS + 4, FRAMES + 1, SIDE, SIDE, role=2)
    inputs = _video(step, total, frames=FRAMES + 1)
    return {
        **inputs,
        "hidden_states": torch.cat([inputs["hidden_states"], fixed], dim=1),
        "encoder_hidden_states_image": noise(1, 5, 8, role=3),
        "pose_hidden_states": noise(1, CHANNELS, FRAMES, SIDE, SIDE, role=4),
        "face_pixel_values": noise(1, 3, 5, 16, 16, role=5),
    }


# Audio


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
        "encoder_hidden_states": _text(),
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
        "encoder_hidden_states": _text(),
        "global_hidden_states": noise(1, 8, role=2),
        "encoder_attention_mask": _mask(),
        "local_add_cond": noise(1, CHANNELS + 1, 16, role=3) if inpaint else None,
    }


def _t5_film() -> nn.Module:
    return make(
        T5FilmDecoder, input_dims=8, targets_length=16, d_model=HIDDEN, num_layers=6, num_heads=2, d_kv=16, d_ff=64
    )


def _t5_film_inputs(step: int, total: int) -> dict[str, Any]:
    """Encoded notes and encoded context, each with its mask; the decoder has no keyword `hidden_states`."""
    masks = torch.ones(1, TEXT), torch.zeros(1, 4)
    return {
        "encodings_and_masks": [
            (_text(dim=HIDDEN), masks[0]),
            (noise(1, 4, HIDDEN, role=2), masks[1]),
        ],
        "decoder_input_tokens": latent((1, 16, 8), step, total),
        "decoder_noise_time": timestep(step, total, scale=0.99),
    }


# Transformer2DModel with its three kinds of input, and U-ViT


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
        "encoder_hidden_states": _text(),
        "timestep": timestep(step, total, scale=99.0).long()[0],
    }


def _transformer2d_inputs(step: int, total: int, timed: bool) -> dict[str, Any]:
    return _image(step, total, encoder_attention_mask=_mask()) | ({} if timed else {"timestep": None})


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
        "encoder_hidden_states": _text(),
        "pooled_text_emb": noise(1, 8, role=2),
        "micro_conds": torch.tensor([[512.0, 512.0, 0.0, 0.0, 6.0]]),
    }


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
    _slow(cast(Any, model).t_embedder.mlp[0])
    return model


def _z_image_inputs(step: int, total: int, **more: Any) -> dict[str, Any]:
    return {
        "x": [latent((16, 1, SIDE, SIDE), step, total)],
        "t": timestep(step, total, scale=1.0),
        "cap_feats": [_text()[0]],
        **more,
    }


def _z_image_omni(step: int, total: int) -> dict[str, Any]:
    """A clean image to condition on, with its SigLIP features, before the noisy one."""
    return _z_image_inputs(
        step,
        total,
        x=[[noise(16, 1, SIDE, SIDE, role=2), latent((16, 1, SIDE, SIDE), step, total)]],
        cap_feats=[[_text()[0], noise(4, TEXT_DIM, role=3)]],
        siglip_feats=[[noise(4, 4, 8, role=4), None]],
        image_noise_mask=[[0, 1]],
    )


CONTROL = {"controlnet_block_samples": _residuals(3, 1, PATCHES, HIDDEN)}
SANA_CONTROL = {"controlnet_block_samples": _residuals(3, 1, SIDE * SIDE, HIDDEN)}
SD3_CONTROL = {"block_controlnet_hidden_states": _residuals(3, 1, PATCHES, HIDDEN)}
Z_CONTROL = {"controlnet_block_samples": dict(zip((0, 2, 4), _residuals(3, 1, 64, HIDDEN), strict=True))}
VACE = {**WAN, "vace_layers": [0, 1, 3, 5], "vace_in_channels": 8}

ENTRIES: tuple[Entry, ...] = (
    Entry("QwenImageTransformer2DModel", _qwen, _qwen_inputs),
    Entry("QwenImageTransformer2DModel/controlnet", _qwen, partial(_qwen_inputs, **CONTROL)),
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
    Entry("SanaTransformer2DModel", partial(_sana, SanaTransformer2DModel), _image),
    Entry("SanaTransformer2DModel/controlnet", partial(_sana, SanaTransformer2DModel), partial(_image, **SANA_CONTROL)),
    Entry(
        "SanaTransformer2DModel/guidance",
        partial(_sana, SanaTransformer2DModel, guidance_embeds=True),
        partial(_image, guidance=torch.tensor([0.45]), encoder_attention_mask=_mask()),
    ),
    Entry("SanaVideoTransformer3DModel", partial(_sana, SanaVideoTransformer3DModel), _video),
    Entry("SkyReelsV2Transformer3DModel", partial(make, SkyReelsV2Transformer3DModel, **WAN), _wan_inputs),
    Entry(
        "SkyReelsV2Transformer3DModel/diffusion_forcing",
        partial(make, SkyReelsV2Transformer3DModel, **WAN, inject_sample_info=True, num_frame_per_block=2),
        _skyreels_forcing,
    ),
    Entry("StableAudioDiTModel", _stable_audio, _stable_audio_inputs),
    Entry("StableAudio3DiTModel", _stable_audio3, _stable_audio3_inputs),
    Entry("StableAudio3DiTModel/inpaint", _stable_audio3, partial(_stable_audio3_inputs, inpaint=True)),
    Entry("T5FilmDecoder", _t5_film, _t5_film_inputs),
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
    Entry("WanAnimateTransformer3DModel", _wan_animate, _wan_animate_inputs),
    Entry("WanTransformer3DModel", partial(make, WanTransformer3DModel, **WAN), _wan_inputs),
    Entry(
        "WanTransformer3DModel/i2v",
        partial(make, WanTransformer3DModel, **{**WAN, **WAN_IMAGE, "in_channels": 2 * CHANNELS}),
        _wan_i2v,
    ),
    Entry("WanTransformer3DModel/ti2v", partial(make, WanTransformer3DModel, **WAN), _wan_ti2v),
    Entry("WanVACETransformer3DModel", partial(make, WanVACETransformer3DModel, **VACE), _vace_inputs),
    Entry("ZImageTransformer2DModel", _z_image, _z_image_inputs),
    Entry("ZImageTransformer2DModel/controlnet", _z_image, partial(_z_image_inputs, **Z_CONTROL)),
    Entry("ZImageTransformer2DModel/omni", partial(_z_image, siglip_feat_dim=8), _z_image_omni),
)
