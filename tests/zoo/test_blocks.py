"""How many blocks an adapter says a class has is what the class makes, by default or as published."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cachedsl.matching.reading import load_adapters
from tests.zoo.entries import ENTRIES

PUBLISHED: dict[str, dict[str, Any]] = {
    # Classes that cannot be made without arguments, or whose default is no model's, as the models that were published.
    "EasyAnimateTransformer3DModel": {"patch_size": 2, "in_channels": 16, "out_channels": 16},
    "HiDreamImageTransformer2DModel": {
        "patch_size": 2,
        "in_channels": 16,
        "out_channels": 16,
        "caption_channels": [4096, 4096],
        "llama_layers": list(range(32)) + [31] * 16,
    },
    "HunyuanDiT2DModel": {"num_layers": 40, "patch_size": 2, "in_channels": 4, "sample_size": 128},  # 1.2
    "LatteTransformer3DModel": {"num_layers": 28, "in_channels": 4, "patch_size": 2, "caption_channels": 4096},
    "LuminaNextDiT2DModel": {"num_layers": 24, "num_kv_heads": 8, "cross_attention_dim": 2048},
    "OmniGenTransformer2DModel": {"rope_scaling": {"short_factor": [1.0] * 48, "long_factor": [1.0] * 48}},
    "SD3Transformer2DModel": {"num_layers": 24},  # medium
    "Transformer2DModel": {  # DiT-XL/2, before it had a class of its own
        "num_layers": 28,
        "in_channels": 4,
        "patch_size": 2,
        "sample_size": 32,
        "norm_type": "ada_norm_zero",
        "num_embeds_ada_norm": 1000,
    },
    "UniDiffuserModel": {"num_layers": 30, "in_channels": 4, "out_channels": 4, "patch_size": 2, "sample_size": 64},
}


@pytest.mark.parametrize("name", sorted({name for name in ENTRIES if "/" not in name}))
def test_blocks(name: str) -> None:
    adapter = next(a for a in load_adapters() if name in a.transformers)
    cls = type(ENTRIES[name].build())
    with torch.device("meta"):
        model = cls(**PUBLISHED.get(name, {}))
    made = {path: len(model.get_submodule(path)) for path in adapter.transformers[name].stacks}
    assert {stack.name: stack.blocks for stack in adapter.shape(name).stacks} == made
