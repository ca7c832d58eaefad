"""Real diffusers pipelines of more families than `tests.tiny` has, around the tiny transformers of the zoo.

A pipeline has no VAE and no text encoders where its call can do without them: prompts come as embeddings, results
are latents. Guidance is on where the family has it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from types import SimpleNamespace
from typing import Any, Literal

import attrs
import diffusers
import torch
from diffusers.pipelines.stable_audio import StableAudioProjectionModel
from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

from tests.zoo.base import make, noise
from tests.zoo.entries import ENTRIES

TEXT = 6  # tokens
TEXT_DIM = 16
PIXELS = 64  # the height and width that give 8x8 latents
FRAMES = 5  # 2 latent frames


@attrs.frozen
class Made:
    """One pipeline: the adapter that its transformer has, how it is built and called, and how guidance is done.

    `loops` counts the denoising loops of a call; `off` are the arguments that turn guidance off, where there are.
    """

    adapter: str
    build: Callable[[], Any]
    arguments: Callable[[int], dict[str, Any]]
    cfg: Literal["fused", "separate"]
    loops: int = 1
    off: dict[str, Any] = attrs.field(factory=lambda: {"guidance_scale": 1.0})


def call(pipe: Any, name: str, steps: int, seed: int = 0, **overrides: Any) -> torch.Tensor:
    """Run the pipeline's own `__call__` for `steps` steps and return its latents; `overrides` are laid over."""
    generator = torch.Generator().manual_seed(seed)
    arguments = {"num_inference_steps": steps, "generator": generator, **PIPELINES[name].arguments(seed), **overrides}
    torch.manual_seed(seed)  # Kandinsky draws without the generator
    result = pipe(**arguments, return_dict=False)[0]
    return result[-1] if isinstance(result, list) else result


def _make(cls: Any, model: str | Callable[[], torch.nn.Module], scheduler: Callable[[], Any], **more: Any) -> Any:
    """Assemble a pipeline around a model, of the zoo where it is a name; components that are not given are None."""
    parameters = signature(cls).parameters.values()
    missing = {parameter.name: None for parameter in parameters if parameter.default is parameter.empty}
    transformer = ENTRIES[model].build() if isinstance(model, str) else model()
    pipe = cls(**{**missing, **more, "transformer": transformer, "scheduler": scheduler()})
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _embeds(seed: int, *shape: int, role: int = 0) -> torch.Tensor:
    return noise(*shape, role=1000 * seed + role)


def _prompt(seed: int, tokens: int = TEXT, dim: int = TEXT_DIM) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds")
    return {name: _embeds(seed, 1, tokens, dim, role=role) for role, name in enumerate(names, 1)}


def _masks(dtype: torch.dtype = torch.long, tokens: int = TEXT) -> dict[str, Any]:
    """Masks of both prompts, whose last token is padding."""
    mask = torch.tensor([[1] * (tokens - 1) + [0]], dtype=dtype)
    return {"prompt_attention_mask": mask, "negative_prompt_attention_mask": mask.clone()}


def _pooled(seed: int, dim: int = 8) -> dict[str, Any]:
    names = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    return {name: _embeds(seed, 1, dim, role=role) for role, name in enumerate(names, 3)}


def _image(guidance: float = 4.0, pixels: int = PIXELS) -> dict[str, Any]:
    return {"height": pixels, "width": pixels, "guidance_scale": guidance, "output_type": "latent"}


def _video(guidance: float = 4.0, pixels: int = PIXELS) -> dict[str, Any]:
    return {**_image(guidance, pixels), "num_frames": FRAMES}


def _flow(**config: Any) -> diffusers.FlowMatchEulerDiscreteScheduler:
    return diffusers.FlowMatchEulerDiscreteScheduler(**config)


def _shifted() -> diffusers.FlowMatchEulerDiscreteScheduler:
    return _flow(use_dynamic_shifting=True)


def _unipc() -> diffusers.UniPCMultistepScheduler:
    return diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


_VAE: dict[str, Any] = {"block_out_channels": (4,) * 4, "layers_per_block": 1, "norm_num_groups": 2}


# Images


def _sd3(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_pooled(seed), **_image()}


def _pixart(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_masks(), **_image(), "negative_prompt": None, "use_resolution_binning": False}


def _sana(seed: int) -> dict[str, Any]:
    return {**_pixart(seed), "height": 256, "width": 256}  # 32 pixels a latent


def _masked_image(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_masks(), **_image()}


def _plain_image(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_image()}


def _chroma(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_masks(torch.bool), **_image()}


def _masked(seed: int, tokens: int = TEXT, dim: int = TEXT_DIM, suffix: str = "") -> dict[str, Any]:
    """Prompts with masks as the newer pipelines name them."""
    mask = next(iter(_masks(tokens=tokens).values()))
    texts = _prompt(seed, tokens, dim)
    return {f"{name}{suffix}": value for name, value in texts.items()} | {
        f"{name}_mask{suffix}": mask for name in texts
    }


def hunyuan_image(guider: Any = None) -> Any:
    """Guidance is a component of the pipeline."""
    return _make(
        diffusers.HunyuanImagePipeline,
        "HunyuanImageTransformer2DModel",
        partial(_flow, shift=4.0),
        guider=guider or diffusers.ClassifierFreeGuidance(guidance_scale=4.0),
    )


def _hunyuan_image(seed: int) -> dict[str, Any]:
    texts = {**_masked(seed), **_masked(seed + 1, tokens=4, dim=8, suffix="_2")}
    return {**texts, "height": 256, "width": 256, "output_type": "latent"}  # 32 pixels a latent


class _Processor:
    """Stands in for the processor, of which the pipeline wants to know the lengths of its template."""

    tokenizer = SimpleNamespace(encode=lambda text: [0])

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> list[list[int]]:
        return [[0]]


def _qwenimage21(seed: int) -> dict[str, Any]:
    """The first step keeps the keys and values of the text, the others have the image's tokens alone."""
    return {**_masked(seed), "height": PIXELS, "width": PIXELS, "true_cfg_scale": 4.0, "output_type": "latent"}


def _krea2(seed: int) -> dict[str, Any]:
    """Text from three layers of the encoder."""
    masks = {name: value.bool() for name, value in _masked(seed).items() if "mask" in name}
    return {**{k: torch.stack([v, -v, v / 2], dim=2) for k, v in _prompt(seed).items()}, **masks, **_image()}


def _hunyuan_dit(seed: int) -> dict[str, Any]:
    """Two texts; the scheduler shows no step."""
    second = {f"{key}_2": value for key, value in {**_prompt(seed + 1, tokens=4), **_masks(tokens=4)}.items()}
    return {**_prompt(seed, dim=32), **_masks(), **second, **_image(), "use_resolution_binning": False}


def _cosmos_model() -> torch.nn.Module:
    """The zoo's has a channel for a mask, which text to image has not; its padding mask needs torchvision."""
    return make(
        diffusers.CosmosTransformer3DModel,
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        num_layers=6,
        text_embed_dim=TEXT_DIM,
        adaln_lora_dim=8,
        max_size=(4, 8, 8),
        concat_padding_mask=False,
    )


class _Harmless:
    """Stands in for the safety checker, which is a package of its own."""

    def to(self, device: Any) -> None:
        pass


def _klein_pipeline() -> Any:
    vae = make(diffusers.AutoencoderKLFlux2, **_VAE, latent_channels=4, sample_size=8)
    return _make(diffusers.Flux2KleinPipeline, "Flux2Transformer2DModel/edit", _shifted, vae=vae)


def _glm_image(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_image(), "prior_token_ids": torch.arange(16)[None] % 12}


def _hidream(seed: int) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds")
    t5 = {f"{name}_t5": _embeds(seed, 1, TEXT, TEXT_DIM, role=role) for role, name in enumerate(names, 5)}
    llama = {f"{name}_llama3": _embeds(seed, 8, 1, TEXT, 12, role=role) for role, name in enumerate(names, 7)}
    return {**t5, **llama, **_pooled(seed), **_image()}


def _hidream_pipeline() -> Any:
    """It brings all images to one size, here the smallest."""
    pipe = _make(
        diffusers.HiDreamImagePipeline,
        "HiDreamImageTransformer2DModel",
        partial(_flow, shift=3.0),
    )
    pipe.default_sample_size = 8
    return pipe


def _z_image(seed: int) -> dict[str, Any]:
    return {**{name: [value[0]] for name, value in _prompt(seed).items()}, **_image()}


def _amused(seed: int) -> dict[str, Any]:
    """Discrete tokens, whose scheduler shows no step; the embeddings are the pooled ones."""
    pooled = {name.replace("pooled_", ""): value for name, value in _pooled(seed).items()}
    texts = {name.replace("prompt_embeds", "encoder_hidden_states"): value for name, value in _prompt(seed).items()}
    return {**pooled, **texts, **_image()}


# Sound


def _stable_audio_model() -> torch.nn.Module:
    """The zoo's has another width of what the projection of the durations makes."""
    return make(
        diffusers.StableAudioDiTModel,
        num_attention_heads=2,
        attention_head_dim=16,
        sample_size=16,
        in_channels=4,
        num_layers=6,
        num_key_value_attention_heads=1,
        out_channels=4,
        cross_attention_dim=16,
        time_proj_dim=16,
        global_states_input_dim=2 * TEXT_DIM,
        cross_attention_input_dim=TEXT_DIM,
    )


def _stable_audio_pipeline() -> Any:
    vae = make(
        diffusers.AutoencoderOobleck,
        encoder_hidden_size=4,
        downsampling_ratios=[2, 4],
        channel_multiples=[1, 1],
        decoder_channels=4,
        decoder_input_channels=4,
        audio_channels=2,
        sampling_rate=16,
    )
    return _make(
        diffusers.StableAudioPipeline,
        _stable_audio_model,
        diffusers.EDMDPMSolverMultistepScheduler,
        vae=vae,
        projection_model=make(
            StableAudioProjectionModel, text_encoder_dim=TEXT_DIM, conditioning_dim=TEXT_DIM, min_value=0, max_value=9
        ),
    )


def _stable_audio(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), "guidance_scale": 4.0, "output_type": "latent"}


# Video


def _ltx(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_masks(), **_video(pixels=128), "num_frames": 9}


def _mochi(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_masks(torch.bool), **_video(), "num_frames": 7}


def _allegro(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_masks(), **_video(), "num_frames": 8, "negative_prompt": None}


def _forcing(seed: int) -> dict[str, Any]:
    """Frames are denoised by copies of the scheduler, one after the other begins."""
    return {**_plain_video(seed), "prompt": None, "base_num_frames": FRAMES, "ar_step": 0}


def _kandinsky(seed: int) -> dict[str, Any]:
    names = ("prompt", "negative_prompt")
    qwen = {f"{name}_embeds_qwen": _embeds(seed, 1, TEXT, TEXT_DIM, role=role) for role, name in enumerate(names, 5)}
    clip = {f"{name}_embeds_clip": _embeds(seed, 1, 8, role=role) for role, name in enumerate(names, 7)}
    return {**qwen, **clip, **{f"{name}_cu_seqlens": torch.tensor([0, TEXT]) for name in names}, **_video()}


def _framepack_pipeline() -> Any:
    blocks = 4
    vae = make(
        diffusers.AutoencoderKLHunyuanVideo,
        **_VAE,
        latent_channels=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * blocks,
        up_block_types=("HunyuanVideoUpBlock3D",) * blocks,
        mid_block_add_attention=False,
    )
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SiglipVisionConfig(**sizes, image_size=16, patch_size=8)
    return _make(
        diffusers.HunyuanVideoFramepackPipeline,
        "HunyuanVideoFramepackTransformer3DModel",
        partial(_flow, shift=7.0),
        vae=vae,
        image_encoder=make(SiglipVisionModel, config=config),
        feature_extractor=SiglipImageProcessor(size={"height": 16, "width": 16}),
    )


def _framepack(seed: int) -> dict[str, Any]:
    """Two sections, the last one first; distilled guidance, and true guidance on top."""
    return {
        **_prompt(seed),
        **_masks(),
        **_pooled(seed),
        **_video(),
        "image": _embeds(seed, 1, 3, PIXELS, PIXELS, role=9).clamp(-1, 1),
        "true_cfg_scale": 4.0,
        "latent_window_size": 2,
        "num_frames": 10,
    }


def _far(seed: int) -> dict[str, Any]:
    """Three chunks; between their loops a call caches the keys and values of the last one."""
    return {**_plain_video(seed), "num_frames": 9, "chunk_partition": [1, 1, 1]}


def _plain_video(seed: int) -> dict[str, Any]:
    return {**_prompt(seed), **_video()}


PIPELINES: dict[str, Made] = {
    "sd3": Made(
        "sd3",
        partial(
            _make,
            diffusers.StableDiffusion3Pipeline,
            "SD3Transformer2DModel",
            partial(_flow, shift=3.0),
        ),
        _sd3,
        "fused",
    ),
    "pixart": Made(
        "pixart",
        partial(
            _make, diffusers.PixArtSigmaPipeline, "PixArtTransformer2DModel", diffusers.DPMSolverMultistepScheduler
        ),
        _pixart,
        "fused",
    ),
    "sana": Made(
        "sana",
        partial(_make, diffusers.SanaPipeline, "SanaTransformer2DModel", partial(_flow, shift=3.0)),
        _sana,
        "fused",
    ),
    "lumina2": Made(
        "lumina",
        partial(_make, diffusers.Lumina2Pipeline, "Lumina2Transformer2DModel", _shifted),
        _masked_image,
        "separate",
    ),
    "ltx": Made(
        "ltx",
        partial(_make, diffusers.LTXPipeline, "LTXVideoTransformer3DModel", _shifted),
        _ltx,
        "fused",
    ),
    "mochi": Made(
        "mochi",
        partial(_make, diffusers.MochiPipeline, "MochiTransformer3DModel", partial(_flow, invert_sigmas=True)),
        _mochi,
        "fused",
    ),
    "cogview4": Made(
        "cogview4",
        partial(_make, diffusers.CogView4Pipeline, "CogView4Transformer2DModel", _shifted),
        _plain_image,
        "separate",
    ),
    "chroma": Made(
        "chroma",
        partial(_make, diffusers.ChromaPipeline, "ChromaTransformer2DModel", _shifted),
        _chroma,
        "separate",
    ),
    "auraflow": Made(
        "auraflow",
        partial(_make, diffusers.AuraFlowPipeline, "AuraFlowTransformer2DModel", partial(_flow, shift=1.73)),
        _masked_image,
        "fused",
    ),
    "hunyuan_dit": Made(
        "hunyuan_dit",
        partial(
            _make,
            diffusers.HunyuanDiTPipeline,
            "HunyuanDiT2DModel",
            diffusers.DDPMScheduler,
            requires_safety_checker=False,
        ),
        _hunyuan_dit,
        "fused",
    ),
    "allegro": Made(
        "allegro",
        partial(
            _make, diffusers.AllegroPipeline, "AllegroTransformer3DModel", diffusers.EulerAncestralDiscreteScheduler
        ),
        _allegro,
        "fused",
    ),
    "cosmos": Made(
        "cosmos",
        lambda: _make(
            diffusers.Cosmos2TextToImagePipeline,
            _cosmos_model,
            partial(_flow, use_karras_sigmas=True),
            safety_checker=_Harmless(),
        ),
        _plain_image,
        "separate",
    ),
    "skyreels": Made(
        "skyreels",
        partial(_make, diffusers.SkyReelsV2Pipeline, "SkyReelsV2Transformer3DModel", _unipc),
        _plain_video,
        "separate",
    ),
    "skyreels_forcing": Made(
        "skyreels",
        partial(
            _make,
            diffusers.SkyReelsV2DiffusionForcingPipeline,
            "SkyReelsV2Transformer3DModel/diffusion_forcing",
            _unipc,
        ),
        _forcing,
        "separate",
    ),
    "kandinsky5": Made(
        "kandinsky",
        partial(
            _make,
            diffusers.Kandinsky5T2VPipeline,
            "Kandinsky5Transformer3DModel",
            partial(_flow, shift=5.0),
        ),
        _kandinsky,
        "separate",
    ),
    "glm_image": Made(
        "glm_image",
        partial(
            _make,
            diffusers.GlmImagePipeline,
            "GlmImageTransformer2DModel",
            _shifted,
        ),
        _glm_image,
        "separate",
    ),
    "flux2_klein": Made(
        "flux2",
        _klein_pipeline,
        _plain_image,
        "separate",
    ),
    "hidream": Made("hidream", _hidream_pipeline, _hidream, "fused"),
    "z_image": Made(
        "z_image",
        partial(_make, diffusers.ZImagePipeline, "ZImageTransformer2DModel", partial(_flow, shift=3.0)),
        _z_image,
        "fused",
    ),
    "amused": Made(
        "uvit",
        partial(
            _make,
            diffusers.AmusedPipeline,
            "UVit2DModel",
            partial(diffusers.AmusedScheduler, mask_token_id=11),
        ),
        _amused,
        "fused",
    ),
    "stable_audio": Made("stable_audio", _stable_audio_pipeline, _stable_audio, "fused"),
    "anyflow_far": Made(
        "anyflow",
        partial(
            _make, diffusers.AnyFlowFARPipeline, "AnyFlowFARTransformer3DModel", diffusers.FlowMapEulerDiscreteScheduler
        ),
        _far,
        "fused",
        loops=3,
    ),
    "framepack": Made("framepack", _framepack_pipeline, _framepack, "separate", loops=2, off={"true_cfg_scale": 1.0}),
    "hunyuan_image": Made("hunyuan_image", hunyuan_image, _hunyuan_image, "separate", off={}),
    "cogview3": Made(
        "cogview3",
        partial(
            _make,
            diffusers.CogView3PlusPipeline,
            "CogView3PlusTransformer2DModel",
            partial(diffusers.CogVideoXDDIMScheduler, prediction_type="v_prediction", timestep_spacing="trailing"),
        ),
        _plain_image,
        "fused",
    ),
    "ovis": Made(
        "ovis",
        partial(_make, diffusers.OvisImagePipeline, "OvisImageTransformer2DModel", _shifted),
        lambda seed: {**_plain_image(seed), "negative_prompt": None},
        "separate",
    ),
    "qwenimage21": Made(
        "qwenimage21",
        lambda: _make(diffusers.QwenImage21Pipeline, "QwenImage21Transformer2DModel", _shifted, processor=_Processor()),
        _qwenimage21,
        "separate",
        off={"true_cfg_scale": 1.0},
    ),
    "krea2": Made(
        "krea",
        partial(_make, diffusers.Krea2Pipeline, "Krea2Transformer2DModel", _shifted),
        _krea2,
        "separate",
        off={"guidance_scale": 0.0},
    ),
}
