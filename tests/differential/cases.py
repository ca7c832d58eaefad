"""One experiment, the same for both sides: a model, its inputs at each call, and the settings of the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import attrs
import torch
from diffusers import DiTTransformer2DModel

from tests import tiny

STACKS = {
    "dit": ("transformer_blocks",),
    "flux": ("transformer_blocks", "single_transformer_blocks"),
    "wan": ("blocks",),
    "cogvideox": ("transformer_blocks",),
}


@attrs.frozen(kw_only=True)
class Case:
    """Settings in neutral words; `name` tells cases apart.

    Attributes:
        folder: load the transformer from here instead of building a tiny one.
        cfg: `fused` is one call a step with both branches in its batch; `separate` is two calls a step.
        max_accumulated: a budget for the whole run, as the reference has it.
        taylor: the order of the Taylor predictor; None copies.
        dmd: how many anchors Dynamic Mode Decomposition fits; None copies.
        token_floor: only tokens that moved by more than this count.
        stride: only every k-th channel is compared.
        jump_at: from this step on the inputs are those of another seed.
        grow_at: from this step on the batch is twice as large.
        overrides: per stack, the settings of this class that are different there.
        prune: every block decides for itself, by a fixed threshold or by one that adapts to the step.
        keep: with `prune`, blocks that never are.
    """

    name: str
    family: Literal["dit", "flux", "wan", "cogvideox"] = "flux"
    blocks: int = 6
    folder: str | None = None
    steps: int = 20
    cfg: Literal["fused", "separate"] = "fused"
    uncond_first: bool = False
    follow_first: bool = False
    front: int = 2
    back: int = 0
    threshold: float = 0.1
    signal: Literal["residual", "hidden_states"] = "residual"
    warmup: int = 3
    warmup_interval: int = 1
    max_total: int | None = None
    max_continuous: int | None = None
    max_accumulated: float | None = None
    taylor: int | None = None
    dmd: int | None = None
    token_floor: float = 0.0
    stride: int = 1
    mask: str | None = None
    otherwise: Literal["dynamic", "static"] = "dynamic"
    refresh_at: int | None = None
    refresh_repeat: bool = False
    jump_at: int | None = None
    grow_at: int | None = None
    overrides: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    prune: Literal["fixed", "dynamic"] | None = None
    keep: list[int] = attrs.field(factory=list)

    @property
    def stacks(self) -> tuple[str, ...]:
        return STACKS[self.family]

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches of one step, in the order of their calls."""
        if self.cfg == "fused":
            return ("cond_uncond",)
        return ("uncond", "cond") if self.uncond_first else ("cond", "uncond")

    def transformer(self) -> torch.nn.Module:
        """Build or load the model: the same weights in every process."""
        if self.folder is None:
            return tiny.tiny_transformer(self.family, blocks=self.blocks)
        model: torch.nn.Module = DiTTransformer2DModel.from_pretrained(self.folder, local_files_only=True)
        return model.float().eval().requires_grad_(False)

    def calls(self, transformer: torch.nn.Module) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Yield step, branch and forward arguments of every call of the run."""
        config = transformer.config if self.folder is not None else None
        for step in range(self.steps):
            seed = 1 if self.jump_at is not None and step >= self.jump_at else 0
            batch = 2 if self.grow_at is not None and step >= self.grow_at else 1
            for branch in self.branches:
                yield step, branch, tiny.inputs(self.family, step, self.steps, branch, seed, batch, config)


@attrs.frozen
class StepResult:
    """One step of one stack in one branch, as either side has it; `value` is a list, block by block, under `prune`."""

    reused: bool
    value: Any


@attrs.frozen
class Result:
    """`steps[stack, branch]` in order, and the output of every call."""

    steps: dict[tuple[str, str], list[StepResult]]
    outputs: list[torch.Tensor]

    def reused(self, stack: str, branch: str) -> list[int]:
        return [step for step, result in enumerate(self.steps[stack, branch]) if result.reused]

    def values(self, stack: str, branch: str) -> dict[int, Any]:
        """The measured values by step, without the steps where nothing was measured."""
        return {step: r.value for step, r in enumerate(self.steps[stack, branch]) if r.value is not None}
