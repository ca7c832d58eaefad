"""Flux 2 and 3: positions on four axes, reference images, Klein's cache of keys and values.

Flux 1 is in `families`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, cast

import torch
from diffusers import Flux2Transformer2DModel
from diffusers.models.transformers.transformer_flux2 import (
    Flux2KVAttnProcessor,
    Flux2KVCache,
    Flux2KVParallelSelfAttnProcessor,
)
from diffusers.models.transformers.transformer_flux3 import Flux3Transformer2DModel
from torch import nn

from tests.zoo.base import Entry, latent, make, noise, timestep
from tests.zoo.inputs import CHANNELS, HEADS, HIDDEN, PATCHES, TEXT, TEXT_DIM, prompt

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
        "encoder_hidden_states": prompt(),
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
    Entry("Flux2Transformer2DModel", _flux2, _flux2_inputs),
    Entry("Flux2Transformer2DModel/edit", partial(_flux2, guidance_embeds=False), partial(_flux2_inputs, images=2)),
    Entry("Flux2Transformer2DModel/kv", _flux2_kv, _flux2_kv_inputs),
    Entry("Flux3Transformer2DModel", _flux3, _flux3_inputs),
    Entry("Flux3Transformer2DModel/text_to_image", _flux3, partial(_flux3_inputs, edit=False)),
    Entry("Flux3Transformer2DModel/flow_map", partial(_flux3, flow_map=True), _flux3_flow_map_inputs),
)
