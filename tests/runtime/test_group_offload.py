"""Groups of blocks whose weights are brought together, where some of the group's blocks are reused and others run.

On the CPU the weights are taken away to disk, and torch fills what stands in their place with NaN, so that a block that
runs without its weights cannot be overlooked.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import nn

from cachedsl import Policy
from cachedsl.language.parts import Compute, Prune, Reuse, Warmup
from tests.combinations.registry import combination
from tests.tiny import inputs, tiny_transformer

STEPS = 4
CPU = torch.device("cpu")
BLOCKS = 8

pytestmark = pytest.mark.skipif(
    diffusers.__version__.startswith("0.37."), reason="this diffusers groups weights only where there is an accelerator"
)


@pytest.fixture(autouse=True)
def nan_in_new_tensors() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before)


def offload(model: Any, path: Path, blocks: int | None, kind: str = "block_level") -> None:
    model.enable_group_offload(
        onload_device=CPU, offload_device=CPU, offload_type=kind, num_blocks_per_group=blocks, offload_to_disk_path=path
    )


def run(model: nn.Module, device: Any = CPU) -> list[torch.Tensor]:
    with torch.no_grad():
        outputs = []
        for step in range(STEPS):
            given = {
                name: value.to(device) if isinstance(value, torch.Tensor) else value
                for name, value in inputs("flux", step, STEPS).items()
            }
            outputs.append(model(**given, return_dict=False)[0])
        return outputs


def under(policy: Policy, model: nn.Module, device: Any = CPU) -> list[torch.Tensor]:
    with policy.apply(model, num_inference_steps=STEPS) as cached:
        outputs = run(model, device)
        outcomes = [step.outcome for step in cached.trace.steps()]
        assert "reused" in outcomes
        assert "computed" in outcomes
    return outputs


def close(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    """Tell whether outputs agree; weights that come from a file lie elsewhere, and sums may round another way."""
    return all(torch.allclose(a, b, rtol=0, atol=1e-4) for a, b in zip(one, other, strict=True))


@lru_cache(maxsize=64)
def ungrouped(name: str) -> list[torch.Tensor]:
    return under(POLICIES[name], tiny_transformer("flux", blocks=BLOCKS))


def loaded(model: Any) -> list[int]:
    """Return which blocks have weights."""
    blocks = model.transformer_blocks
    return [i for i, block in enumerate(blocks) if all(p.isfinite().all() for p in block.parameters())]


def straddling(front: int, back: int, **more: Any) -> Policy:
    compute = Compute(front, back, **more)
    return Policy(compute=compute, warmup=Warmup(2), reuse=Reuse("always"), cfg="fused")


POLICIES = {
    "F1B1": straddling(1, 1),
    "F2B3": straddling(2, 3),
    "F0B1": straddling(0, 1),
    "F3B3": straddling(3, 3),
    "one back block decides": straddling(1, 3, back_blocks=(2,), back_threshold=0.05),
    "masks": Policy(compute="F1B2", warmup=1, reuse=Reuse("always"), steps={"bits": "1010", "otherwise": "static"}),
    "measured": Policy(compute="F1B1", warmup=1, reuse=Reuse(0.4), cfg="fused"),
    "joined": Policy(compute="F1B1", warmup=2, reuse=Reuse("always"), cfg="fused", span="joined"),
    "pruned": Policy(compute="F1B1", warmup=1, reuse=Reuse(0.3), prune=Prune(), cfg="fused"),
    "pruned, some kept": Policy(compute="F0B0", warmup=1, reuse=Reuse(0.3), prune=Prune(keep=(3, 5)), cfg="fused"),
}


@pytest.mark.parametrize(("name", "blocks"), [*product(POLICIES, (2, 3)), ("F1B1", 8), ("F2B3", 4), ("F0B1", 4)])
@combination(
    "group offload",
    "back blocks, deciding back blocks, masks, joined lists, pruning",
    means="in groups of 2, 3, 4 and 8 blocks, the weights are there when a block runs, and none are left behind",
)
def test_groups_that_lie_across_a_boundary(name: str, blocks: int, tmp_path: Path) -> None:
    model = tiny_transformer("flux", blocks=BLOCKS)
    offload(model, tmp_path, blocks)
    assert close(under(POLICIES[name], model), ungrouped(name))
    assert loaded(model) == []


@combination(
    "group offload", "switched on in the middle of a run", means="the run goes on as it does without group offload"
)
def test_groups_made_in_the_middle_of_a_run(tmp_path: Path) -> None:
    policy, model = POLICIES["F1B1"], tiny_transformer("flux", blocks=BLOCKS)
    with policy.apply(model, num_inference_steps=STEPS), torch.no_grad():
        outputs = []
        for step in range(STEPS):
            if step == 2:
                offload(model, tmp_path, 2)
            outputs.append(model(**inputs("flux", step, STEPS), return_dict=False)[0])
    assert close(outputs, ungrouped("F1B1"))
    assert close(run(model), run(tiny_transformer("flux", blocks=BLOCKS)))


def test_weights_of_single_layers(tmp_path: Path) -> None:
    model = tiny_transformer("flux", blocks=BLOCKS)
    offload(model, tmp_path, None, "leaf_level")
    assert close(under(POLICIES["F2B3"], model), ungrouped("F2B3"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("kind", "blocks"), [("block_level", 1), ("block_level", 2), ("leaf_level", None)])
@pytest.mark.parametrize("name", ["F1B1", "F2B3", "measured", "pruned"])
@combination(
    "group offload with a stream",
    "back blocks, measuring, pruning",
    means="blocks and layers that are fetched ahead are there when they run",
    gpu=True,
)
def test_on_a_device(name: str, kind: str, blocks: int | None, stream: bool) -> None:
    """Weights that wait on the CPU, with and without the stream that brings the next ones while blocks run."""
    expected = under(POLICIES[name], tiny_transformer("flux", blocks=BLOCKS).to("cuda"), "cuda")
    model = tiny_transformer("flux", blocks=BLOCKS)
    model.enable_group_offload(
        onload_device="cuda", offload_device="cpu", offload_type=kind, num_blocks_per_group=blocks, use_stream=stream
    )
    for _ in range(2):
        outputs = under(POLICIES[name], model, "cuda")
        assert all(torch.allclose(a, b, rtol=0, atol=1e-4) for a, b in zip(outputs, expected, strict=True))
