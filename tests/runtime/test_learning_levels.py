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

from cachedsl import PolicyError
from cachedsl.language.policy import Policy
from cachedsl.matching.adapter import UnsupportedModel
from tests.zoo.base import make, noise, tensors

STEPS = 5
NOTATIONS = ("F1B0_W2_R0.5", "F0B0_W1_S", "F1B1_W1_S")


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
    """A model; its latent's channels, what else its call takes, and its lists whose blocks are levels themselves.

    Without such a list it is the loop that goes from level to level.
    """

    build: Callable[[], nn.Module]
    channels: int
    more: dict[str, Any]
    levels: frozenset[str] = frozenset()


LEVELS = frozenset({"down_blocks", "up_blocks"})
CASES = {
    "UNet2DModel": Case(unet, 3, {}, LEVELS),
    "UNet2DModel/wider": Case(wider, 3, {}, LEVELS),
    "UNet2DConditionModel": Case(conditioned, 4, {"encoder_hidden_states": noise(1, 6, 16, role=5)}, LEVELS),
    "there and back": Case(lambda: make(Sampling, ends_smaller=False), 8, {}),
    "down": Case(lambda: make(Sampling, ends_smaller=True), 8, {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_levels_are_refused_with_a_report_or_left_out(case: Case) -> None:
    model = case.build()
    lists = {path: len(module) for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}

    def step(index: int) -> torch.Tensor:
        latent = noise(1, case.channels, 16, 16, role=1) + 0.1 * index * noise(1, case.channels, 16, 16, role=2)
        with torch.no_grad():
            return tensors(model(latent, timestep=torch.tensor([1000 - 200 * index]), **case.more))[0]

    plain = [step(index) for index in range(STEPS)]
    before = {name: (type(module), len(module._forward_hooks)) for name, module in model.named_modules()}
    for notation in NOTATIONS:
        with Policy.from_notation(notation).apply(model, num_inference_steps=STEPS) as cached:
            if not case.levels:
                with pytest.raises(UnsupportedModel, match=r"takes x as \(1, 8, 8, 8\) where block 1 took it as"):
                    step(0)
                assert not cached.trace.steps()
            elif notation.startswith("F1B1"):
                with pytest.raises(PolicyError, match=r"too-many-blocks.*has 2, so nothing could be reused"):
                    step(0)
                assert not cached.trace.steps()
            else:
                outputs = [step(index) for index in range(STEPS)]
                assert torch.equal(outputs[0], plain[0])
                assert all(output.isfinite().all() and output.shape == plain[0].shape for output in outputs)
                assert cached.learnt is not None
                stacks = cached.learnt.transformers[type(model).__name__].stacks
                assert not case.levels & set(stacks), "a list of levels is left out"
                assert set(stacks) < set(lists)
                assert {s.stack for s in cached.trace.steps() if s.outcome == "reused"} == set(stacks)
        assert before == {name: (type(module), len(module._forward_hooks)) for name, module in model.named_modules()}
        assert all(torch.equal(step(index), plain[index]) for index in range(STEPS))


def test_the_report_of_a_refusal_names_every_list() -> None:
    model = CASES["UNet2DModel"].build()
    model.mid_block = None
    latent = noise(1, 3, 16, 16, role=1)
    with Policy.from_notation("F1B0_W1_S").apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        for _ in range(2):
            with pytest.raises(UnsupportedModel) as error:
                model(latent, torch.tensor([1000]))
            for path in ("down_blocks", "up_blocks"):
                assert f"\n{path}: 2 blocks (" in str(error.value)
                assert "left out: its block" in str(error.value)
        assert not cached.trace.steps()
    with torch.no_grad():
        assert model(latent, torch.tensor([1000])).sample.isfinite().all()
