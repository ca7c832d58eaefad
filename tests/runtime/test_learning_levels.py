"""Models whose blocks are levels, or stand on several: what cannot be reused is refused with its report, or left out.

Whatever becomes of it, nothing fails inside a step, and the model runs as before once the policy is off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import frozen
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import nn

from cachedsl.language.policy import Policy
from cachedsl.matching.adapter import UnsupportedModel
from tests.zoo.base import make, noise, tensors

STEPS = 5
NOTATIONS = ("F1B0_W2_R0.5", "F0B0_W1_S", "F1B0_W1_S", "F1B1_W1_S")


def unet() -> nn.Module:
    return make(
        UNet2DModel,
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(16, 16),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )


def wider() -> nn.Module:
    return make(
        UNet2DModel,
        sample_size=16,
        layers_per_block=2,
        block_out_channels=(8, 16, 16),
        norm_num_groups=8,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )


def conditioned() -> nn.Module:
    return make(
        UNet2DConditionModel,
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(16, 16),
        norm_num_groups=8,
        cross_attention_dim=16,
        attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tanh(self.mix(x))


class Sampling(nn.Module):
    """Every block returns what it takes in shape; the loop halves and doubles between them."""

    def __init__(self, ends_smaller: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Layer() for _ in range(6))
        self.ends_smaller = ends_smaller

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        x = sample + timestep.reshape(-1, 1, 1, 1) / 1000
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in (1, 2):
                x = nn.functional.avg_pool2d(x, 2)
            elif index in (3, 4) and not self.ends_smaller:
                x = nn.functional.interpolate(x, scale_factor=2.0)
        return x


@frozen
class Case:
    build: Callable[[], nn.Module]
    channels: int
    more: dict[str, Any]


CASES = {
    "UNet2DModel": Case(unet, 3, {}),
    "UNet2DModel/wider": Case(wider, 3, {}),
    "UNet2DConditionModel": Case(conditioned, 4, {"encoder_hidden_states": noise(1, 6, 16, role=5)}),
    "there and back": Case(lambda: make(Sampling, ends_smaller=False), 8, {}),
    "down": Case(lambda: make(Sampling, ends_smaller=True), 8, {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_levels_are_refused_with_a_report_or_left_out(case: Case) -> None:
    model = case.build()

    def step(index: int) -> torch.Tensor:
        latent = noise(1, case.channels, 16, 16, role=1) + 0.1 * index * noise(1, case.channels, 16, 16, role=2)
        with torch.no_grad():
            return tensors(model(latent, timestep=torch.tensor([1000 - 200 * index]), **case.more))[0]

    plain = [step(index) for index in range(STEPS)]
    before = {name: (type(module), len(module._forward_hooks)) for name, module in model.named_modules()}
    for notation in NOTATIONS:
        with Policy.from_notation(notation).apply(model, num_inference_steps=STEPS) as cached:
            try:
                outputs = [step(index) for index in range(STEPS)]
            except UnsupportedModel as error:
                lists = [path for path, module in model.named_modules() if isinstance(module, nn.ModuleList)]
                assert all(f"\n{path}: " in str(error) for path in lists if len(model.get_submodule(path)) > 1)
                assert "give an adapter" in str(error)
                assert not cached.trace.steps()
            else:
                assert cached.learnt is not None
                assert outputs[0].shape == plain[0].shape
                assert any(s.outcome == "reused" for s in cached.trace.steps())
                for mine, other in zip(outputs, plain, strict=True):
                    assert (mine - other).abs().max() <= 0.5 * other.abs().max()
        assert before == {name: (type(module), len(module._forward_hooks)) for name, module in model.named_modules()}
        assert all(torch.equal(step(index), plain[index]) for index in range(STEPS))
