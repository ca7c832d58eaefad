"""A tiny Flux, a policy, and a run: what the combinations are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from attrs import evolve
from peft import LoraConfig
from torch import nn

from cachedsl import Policy
from tests.tiny import inputs, tiny_transformer

STEPS = 6
REUSING = Policy(
    compute="F1B1",
    warmup=2,
    reuse={"threshold": "always", "max_continuous": 1},
    predict={"method": "taylor", "order": 1},
    cfg="fused",
)
JOINED = evolve(REUSING, span="joined")
MEASURING = Policy(compute="F1B1", warmup=1, reuse={"threshold": 0.5, "max_continuous": 1}, cfg="fused")
PRUNING = Policy(compute="F1B0", warmup=1, reuse={"threshold": 0.4}, prune={}, cfg="fused")

Outputs = list[torch.Tensor]


def model(blocks: int | tuple[int, ...] = 3) -> Any:
    return tiny_transformer("flux", blocks=blocks)


def call(target: Any, step: int, seed: int = 0) -> torch.Tensor:
    with torch.no_grad():
        return target(**inputs("flux", step, STEPS, seed=seed), return_dict=False)[0]


def run(
    target: Any, policy: Policy = REUSING, each: Callable[[int], object] = lambda step: None, through: Any = None
) -> tuple[Outputs, str]:
    """Run under a policy; returns the outputs, and a letter a step: computed or reused.

    `each` is called before each step, `through` is called in place of the model.
    """
    with policy.apply(target, num_inference_steps=STEPS) as cached:
        outputs = []
        for step in range(STEPS):
            each(step)
            outputs.append(call(through or target, step))
        letters = "".join(s.outcome[0] for s in cached.trace.steps() if s.stack.startswith("transformer_blocks"))
    assert "r" in letters
    return outputs, letters


@lru_cache(maxsize=16)
def reference(policy: Policy = REUSING, blocks: int | tuple[int, ...] = 3) -> tuple[Outputs, str]:
    """Return what the policy gives on the model alone."""
    return run(model(blocks), policy)


def same(one: tuple[Outputs, str], other: tuple[Outputs, str], tolerance: float = 0.0) -> bool:
    """Tell whether two runs took the same verdicts, and gave the same outputs."""
    return one[1] == other[1] and near(one[0], other[0], tolerance)


def near(one: Outputs, other: Outputs, tolerance: float = 0.0) -> bool:
    return all(torch.allclose(a.float(), b.float(), rtol=0, atol=tolerance) for a, b in zip(one, other, strict=True))


def lora(target: Any, name: str = "style", seed: int = 1) -> None:
    """Put a LoRA on the attention of every block."""
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_v", "to_out.0"], init_lora_weights=False)
    target.add_adapter(config, name)


def exchanged(target: Any, how: Callable[[nn.Module], nn.Module]) -> None:
    """Put another module in the place of the second block of each list."""
    for blocks in (target.transformer_blocks, target.single_transformer_blocks):
        blocks[1] = how(blocks[1])
