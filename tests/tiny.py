"""Tiny random-weight transformers and real diffusers pipelines around them: no network, deterministic by seed.

`tiny_transformer` builds a bare model, `inputs` its forward arguments at one step of a run; `tiny_pipeline` puts the
same model into the real diffusers pipeline and `call` runs that pipeline's own `__call__`. The inputs drift slowly and
unevenly from step to step, and the time embedders are made smooth, so that caching has something to reuse: the
residual of the front blocks moves by a few hundredths to a few tenths from step to step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import torch
from diffusers import (
    AutoencoderKL,
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    DDIMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.models.embeddings import TimestepEmbedding

HIDDEN = 32
HEADS = {"num_attention_heads": 2, "attention_head_dim": HIDDEN // 2}
TEXT_TOKENS = 6
TEXT_DIM = 16
POOLED_DIM = 8
CHANNELS = 4
PIXELS = 64  # the height and width that give 8x8 latents, 4x4 tokens
LATENT = PIXELS // 8
FRAMES = 5  # 2 latent frames
GAIN = math.sqrt(3)  # makes torch's default initialisation of a linear layer keep variance, so that blocks matter
DIT_CLASSES = 1000  # DiTPipeline's null class is 1000, whatever the model has


@attrs.frozen
class Tiny:
    """How one family is built: class, configuration, and the configuration keys that count blocks."""

    cls: Callable[..., torch.nn.Module]
    config: dict[str, Any]
    counts: tuple[str, ...] = ("num_layers",)


FAMILIES: dict[str, Tiny] = {
    "dit": Tiny(
        DiTTransformer2DModel,
        {
            **HEADS,
            "in_channels": CHANNELS,
            "out_channels": 2 * CHANNELS,
            "num_layers": 6,
            "sample_size": LATENT,
            "patch_size": 2,
            "num_embeds_ada_norm": DIT_CLASSES,
        },
    ),
    "flux": Tiny(
        FluxTransformer2DModel,
        {
            **HEADS,
            "in_channels": CHANNELS * 4,
            "num_layers": 4,
            "num_single_layers": 4,
            "joint_attention_dim": TEXT_DIM,
            "pooled_projection_dim": POOLED_DIM,
            "axes_dims_rope": (4, 6, 6),
        },
        ("num_layers", "num_single_layers"),
    ),
    "qwenimage": Tiny(
        QwenImageTransformer2DModel,
        {
            **HEADS,
            "in_channels": CHANNELS * 4,
            "out_channels": CHANNELS,
            "num_layers": 6,
            "joint_attention_dim": TEXT_DIM,
            "axes_dims_rope": (4, 6, 6),
        },
    ),
    "wan": Tiny(
        WanTransformer3DModel,
        {
            **HEADS,
            "in_channels": CHANNELS,
            "out_channels": CHANNELS,
            "text_dim": TEXT_DIM,
            "freq_dim": 64,
            "ffn_dim": 2 * HIDDEN,
            "num_layers": 6,
            "rope_max_seq_len": 32,
        },
    ),
    "cogvideox": Tiny(
        CogVideoXTransformer3DModel,
        {
            **HEADS,
            "in_channels": CHANNELS,
            "out_channels": CHANNELS,
            "time_embed_dim": 16,
            "text_embed_dim": TEXT_DIM,
            "num_layers": 6,
            "sample_width": LATENT,
            "sample_height": LATENT,
            "sample_frames": FRAMES,
            "max_text_seq_length": TEXT_TOKENS,
        },
    ),
    "hunyuan_video": Tiny(
        HunyuanVideoTransformer3DModel,
        {
            **HEADS,
            "in_channels": CHANNELS,
            "out_channels": CHANNELS,
            "num_layers": 4,
            "num_single_layers": 4,
            "num_refiner_layers": 1,
            "text_embed_dim": TEXT_DIM,
            "pooled_projection_dim": POOLED_DIM,
            "guidance_embeds": False,
            "rope_axes_dim": (4, 6, 6),
        },
        ("num_layers", "num_single_layers"),
    ),
}


def tiny_transformer(
    name: str, *, seed: int = 0, blocks: int | tuple[int, ...] | None = None, **overrides: Any
) -> torch.nn.Module:
    """Build family `name` with random weights; `blocks` counts the blocks of each stack, one number for all.

    Further keywords are laid over the model's configuration. float32, in eval mode, without gradients.
    """
    family = FAMILIES[name]
    config = dict(family.config)
    if blocks is not None:
        each = blocks if isinstance(blocks, tuple) else (blocks,) * len(family.counts)
        config.update(zip(family.counts, each, strict=True))
    config.update(overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = family.cls(**config)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data *= GAIN
        if isinstance(module, TimestepEmbedding):
            _smooth(module)
    return model.eval().requires_grad_(False)


def _smooth(embedding: TimestepEmbedding, scale: float = 400.0) -> None:
    """Damp the features of a time embedder that turn faster than once in about `scale` of 1000 train timesteps.

    A random embedder hears them as loudly as the slow ones and makes every step unlike the one before.
    """
    weight = embedding.linear_1.weight
    half = weight.shape[1] // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half) / half)
    damping = 1 / (1 + (frequencies * scale) ** 2)
    weight.data *= torch.cat([damping, damping])


def _noise(*shape: int, seed: int, role: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1009 * seed + role)
    return torch.randn(*shape, generator=generator)


def _latents(batch: int, shape: tuple[int, ...], step: int, total: int, seed: int) -> torch.Tensor:
    """Latents of shape `(batch, *shape)` on a smooth path, fast at both ends of the run and slow in its middle."""
    base, drift = (_noise(batch, *shape, seed=seed, role=role) for role in (1, 2))
    done = step / total
    angle = 0.5 * math.pi * (done + 0.1 * math.sin(2 * math.pi * done))
    return math.cos(angle) * base + math.sin(angle) * drift


def _text(batch: int, branch: str, seed: int) -> torch.Tensor:
    return _noise(batch, TEXT_TOKENS, TEXT_DIM, seed=seed, role=3 if branch == "cond" else 4)


def inputs(
    name: str, step: int, total: int, branch: str = "cond", seed: int = 0, batch: int = 1, config: Any = None
) -> dict[str, Any]:
    """Return the forward arguments of family `name` at `step` of `total`.

    `branch` is `cond`, `uncond` or `cond_uncond`, both in one batch of twice the size as in fused guidance. `config`
    is that of a model with other sizes than the tiny one's, such as the bundled DiT's; only `dit` reads it.
    """
    if branch == "cond_uncond":
        halves = [inputs(name, step, total, half, seed, batch, config) for half in ("cond", "uncond")]
        return {key: _join(halves[0][key], halves[1][key], key) for key in halves[0]}
    if branch not in ("cond", "uncond"):
        raise ValueError(f"no branch {branch!r}")
    if config is not None:
        return _dit_inputs(step, total, branch, seed, batch, **{key: config[key] for key in _DIT_SIZES})
    return _INPUTS[name](step, total, branch, seed, batch)


def _join(first: Any, second: Any, key: str) -> Any:
    if key in ("img_ids", "txt_ids"):
        return first
    return torch.cat([first, second]) if isinstance(first, torch.Tensor) else first + second


def _timestep(step: int, total: int, batch: int) -> torch.Tensor:
    """A float timestep that goes down from 1000, never to 0."""
    return torch.full((batch,), 1000.0 * (1 - step / total))


def _dit_inputs(
    step: int,
    total: int,
    branch: str,
    seed: int,
    batch: int,
    in_channels: int = CHANNELS,
    sample_size: int = LATENT,
    num_embeds_ada_norm: int = DIT_CLASSES,
) -> dict[str, Any]:
    """The labels are one of ten classes, and the last of the model's, which is its null class."""
    label = 7 * seed % 10 if branch == "cond" else num_embeds_ada_norm
    return {
        "hidden_states": _latents(batch, (in_channels, sample_size, sample_size), step, total, seed),
        "timestep": _timestep(step, total, batch).long(),
        "class_labels": torch.full((batch,), label),
    }


def _packed(step: int, total: int, branch: str, seed: int, batch: int) -> dict[str, Any]:
    """What Flux and Qwen-Image have in common: packed latents, text, a timestep in (0, 1]."""
    tokens = (LATENT // 2) ** 2
    return {
        "hidden_states": _latents(batch, (tokens, CHANNELS * 4), step, total, seed),
        "encoder_hidden_states": _text(batch, branch, seed),
        "timestep": _timestep(step, total, batch) / 1000,
    }


def _flux_inputs(step: int, total: int, branch: str, seed: int, batch: int) -> dict[str, Any]:
    side = LATENT // 2
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
    return {
        **_packed(step, total, branch, seed, batch),
        "pooled_projections": _noise(batch, POOLED_DIM, seed=seed, role=5 if branch == "cond" else 6),
        "img_ids": ids.float(),
        "txt_ids": torch.zeros(TEXT_TOKENS, 3),
    }


def _qwenimage_inputs(step: int, total: int, branch: str, seed: int, batch: int) -> dict[str, Any]:
    return {
        **_packed(step, total, branch, seed, batch),
        "encoder_hidden_states_mask": _mask(batch),
        "img_shapes": [[(1, LATENT // 2, LATENT // 2)]] * batch,
    }


def _mask(batch: int) -> torch.Tensor:
    """A prompt mask whose last token is padding."""
    mask = torch.ones(batch, TEXT_TOKENS, dtype=torch.long)
    mask[:, -1] = 0
    return mask


def _wan_inputs(step: int, total: int, branch: str, seed: int, batch: int) -> dict[str, Any]:
    return {
        "hidden_states": _latents(batch, (CHANNELS, 2, LATENT, LATENT), step, total, seed),
        "encoder_hidden_states": _text(batch, branch, seed),
        "timestep": _timestep(step, total, batch),
    }


def _cogvideox_inputs(step: int, total: int, branch: str, seed: int, batch: int) -> dict[str, Any]:
    return {
        "hidden_states": _latents(batch, (2, CHANNELS, LATENT, LATENT), step, total, seed),
        "encoder_hidden_states": _text(batch, branch, seed),
        "timestep": _timestep(step, total, batch),
    }


def _hunyuan_video_inputs(step: int, total: int, branch: str, seed: int, batch: int) -> dict[str, Any]:
    return {
        **_wan_inputs(step, total, branch, seed, batch),
        "encoder_attention_mask": _mask(batch),
        "pooled_projections": _noise(batch, POOLED_DIM, seed=seed, role=5 if branch == "cond" else 6),
    }


_DIT_SIZES = ("in_channels", "sample_size", "num_embeds_ada_norm")
_INPUTS: dict[str, Callable[[int, int, str, int, int], dict[str, Any]]] = {
    "dit": _dit_inputs,
    "flux": _flux_inputs,
    "qwenimage": _qwenimage_inputs,
    "wan": _wan_inputs,
    "cogvideox": _cogvideox_inputs,
    "hunyuan_video": _hunyuan_video_inputs,
}


# Pipelines


def tiny_pipeline(name: str, *, seed: int = 0, scheduler: Any = None, **overrides: Any) -> Any:
    """Build a real pipeline: `dit`, `flux`, `qwenimage`, `wan` (2.1), `wan22` (two transformers) or `cogvideox`.

    `scheduler` replaces the usual one; other keywords go to `tiny_transformer`.
    """
    pipe = _PIPELINES[name](seed, scheduler, overrides)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _dit_pipeline(seed: int, scheduler: Any, overrides: dict[str, Any]) -> DiTPipeline:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            block_out_channels=(8,), norm_num_groups=4, latent_channels=CHANNELS, layers_per_block=1, sample_size=LATENT
        )
    return DiTPipeline(
        transformer=tiny_transformer("dit", seed=seed, **overrides),
        vae=vae.eval().requires_grad_(False),
        scheduler=scheduler or DPMSolverMultistepScheduler(prediction_type="v_prediction"),
    )


def ddim() -> DDIMScheduler:
    """A DDIM scheduler for the DiT pipeline, which has DPM-Solver++ otherwise."""
    return DDIMScheduler(prediction_type="v_prediction", clip_sample=False)


def _flux_pipeline(seed: int, scheduler: Any, overrides: dict[str, Any]) -> FluxPipeline:
    """A guidance-distilled Flux, as FLUX.1-dev is; true guidance comes on top when the call asks for it."""
    return FluxPipeline(
        transformer=tiny_transformer("flux", seed=seed, **{"guidance_embeds": True, **overrides}),
        scheduler=scheduler or FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=None,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
    )


def _qwenimage_pipeline(seed: int, scheduler: Any, overrides: dict[str, Any]) -> QwenImagePipeline:
    return QwenImagePipeline(
        transformer=tiny_transformer("qwenimage", seed=seed, **overrides),
        scheduler=scheduler or FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=True),
        vae=None,
        text_encoder=None,
        tokenizer=None,
    )


def _unipc() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def _wan_pipeline(seed: int, scheduler: Any, overrides: dict[str, Any]) -> WanPipeline:
    return WanPipeline(
        transformer=tiny_transformer("wan", seed=seed, **overrides),
        scheduler=scheduler or _unipc(),
        vae=None,
        text_encoder=None,
        tokenizer=None,
    )


def _wan22_pipeline(seed: int, scheduler: Any, overrides: dict[str, Any]) -> WanPipeline:
    """Wan 2.2: `transformer` for the first half of the steps or a little more, `transformer_2` for the rest."""
    return WanPipeline(
        transformer=tiny_transformer("wan", seed=seed, **overrides),
        transformer_2=tiny_transformer("wan", seed=seed + 1, **overrides),
        boundary_ratio=0.7,
        scheduler=scheduler or _unipc(),
        vae=None,
        text_encoder=None,
        tokenizer=None,
    )


def _cogvideox_pipeline(seed: int, scheduler: Any, overrides: dict[str, Any]) -> CogVideoXPipeline:
    return CogVideoXPipeline(
        transformer=tiny_transformer("cogvideox", seed=seed, **overrides),
        scheduler=scheduler
        or CogVideoXDDIMScheduler(
            prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
        ),
        vae=None,
        text_encoder=None,
        tokenizer=None,
    )


def _hunyuan_video_pipeline(seed: int, scheduler: Any, overrides: dict[str, Any]) -> HunyuanVideoPipeline:
    return HunyuanVideoPipeline(
        transformer=tiny_transformer("hunyuan_video", seed=seed, **{"guidance_embeds": True, **overrides}),
        scheduler=scheduler or FlowMatchEulerDiscreteScheduler(shift=7.0),
        vae=None,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
    )


_PIPELINES: dict[str, Callable[[int, Any, dict[str, Any]], Any]] = {
    "dit": _dit_pipeline,
    "flux": _flux_pipeline,
    "qwenimage": _qwenimage_pipeline,
    "wan": _wan_pipeline,
    "wan22": _wan22_pipeline,
    "cogvideox": _cogvideox_pipeline,
    "hunyuan_video": _hunyuan_video_pipeline,
}
PIPELINES = tuple(_PIPELINES)


def call(pipe: Any, steps: int, seed: int = 0, **overrides: Any) -> torch.Tensor:
    """Run the pipeline's own `__call__` for `steps` steps and return its result: latents, for DiT images.

    `seed` fixes the noise and the prompts. `overrides` are laid over the call's arguments; guidance is on by default
    where the family has it (Flux: distilled; `true_cfg_scale=4.0` turns true guidance on).
    """
    generator = torch.Generator().manual_seed(seed)
    arguments = {"num_inference_steps": steps, "generator": generator, **call_arguments(pipe, seed), **overrides}
    return torch.as_tensor(pipe(**arguments, return_dict=False)[0])  # older DiTPipelines know no "pt" and give arrays


def call_arguments(pipe: Any, seed: int = 0) -> dict[str, Any]:
    """Return what a call of the pipeline is given beside its step count and generator."""
    return next(make(seed) for cls, make in _ARGUMENTS.items() if isinstance(pipe, cls))


def _prompt(seed: int) -> dict[str, Any]:
    return {"prompt_embeds": _text(1, "cond", seed), "negative_prompt_embeds": _text(1, "uncond", seed)}


def _dit_call(seed: int) -> dict[str, Any]:
    return {"class_labels": [7 * seed % 10], "guidance_scale": 4.0, "output_type": "pt"}


def _flux_call(seed: int) -> dict[str, Any]:
    return {
        **_prompt(seed),
        "pooled_prompt_embeds": _noise(1, POOLED_DIM, seed=seed, role=5),
        "negative_pooled_prompt_embeds": _noise(1, POOLED_DIM, seed=seed, role=6),
        "guidance_scale": 3.5,
        "height": PIXELS,
        "width": PIXELS,
        "output_type": "latent",
    }


def _qwenimage_call(seed: int) -> dict[str, Any]:
    return {
        **_prompt(seed),
        "prompt_embeds_mask": _mask(1),
        "negative_prompt_embeds_mask": _mask(1),
        "true_cfg_scale": 4.0,
        "height": PIXELS,
        "width": PIXELS,
        "output_type": "latent",
    }


def _video_call(seed: int) -> dict[str, Any]:
    return {
        **_prompt(seed),
        "guidance_scale": 5.0,
        "height": PIXELS,
        "width": PIXELS,
        "num_frames": FRAMES,
        "output_type": "latent",
    }


def _hunyuan_video_call(seed: int) -> dict[str, Any]:
    return {
        **_video_call(seed),
        "pooled_prompt_embeds": _noise(1, POOLED_DIM, seed=seed, role=5),
        "negative_pooled_prompt_embeds": _noise(1, POOLED_DIM, seed=seed, role=6),
        "prompt_attention_mask": _mask(1),
        "negative_prompt_attention_mask": _mask(1),
        "true_cfg_scale": 4.0,
    }


_ARGUMENTS: dict[type, Callable[[int], dict[str, Any]]] = {
    DiTPipeline: _dit_call,
    FluxPipeline: _flux_call,
    QwenImagePipeline: _qwenimage_call,
    WanPipeline: _video_call,
    CogVideoXPipeline: _video_call,
    HunyuanVideoPipeline: _hunyuan_video_call,
}
