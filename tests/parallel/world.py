"""What runs in each of several real processes: the stand-ins that let diffusers work on gloo, and the harness of cases.

diffusers splits tokens over accelerators only, by a division by their number; two stand-ins make it take the CPU. One
more lets it split weights there, one gathers parts of different sizes, which gloo cannot, and one gives the attention
that ring needs, which returns its log-sum-exp.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cachedsl.language.policy import Policy
from cachedsl.runtime.attach import attach
from tests.tiny import inputs

TIMEOUT = timedelta(seconds=40)
Case = Callable[[], None]
Given = list[dict[str, Any]]


def stand_in() -> None:
    """Let diffusers split models over the CPU."""
    from diffusers.hooks import context_parallel, tensor_parallel
    from diffusers.models import attention_dispatch

    torch._C._get_accelerator = lambda: torch.device("cpu")  # type: ignore[attr-defined]
    torch.accelerator.device_count = lambda: 1
    tensor_parallel._SUPPORTED_TP_DEVICES = (*tensor_parallel._SUPPORTED_TP_DEVICES, "cpu")
    attention_dispatch._cudnn_attention_forward_op = attention
    context_parallel._all_gather_anything = gather_uneven
    attention_dispatch._check_attention_backend_requirements = lambda *_: None


def attention(
    ctx: Any, query: Any, key: Any, value: Any, attn_mask: Any = None, *rest: Any, **more: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention `(batch, tokens, heads, channels)` and its log-sum-exp `(batch, tokens, heads)`."""
    query, key, value = (x.permute(0, 2, 1, 3) for x in (query, key, value))
    scores = query @ key.mT / query.shape[-1] ** 0.5
    out = torch.softmax(scores, -1) @ value
    return out.permute(0, 2, 1, 3), torch.logsumexp(scores, -1).permute(0, 2, 1)


def gather_uneven(tensor: torch.Tensor, dim: int, group: Any) -> torch.Tensor:
    """Gather parts of different sizes, which NCCL does and gloo does not: padded, and cut."""
    sizes: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(sizes, tensor.shape[dim], group=group)
    moved = tensor.movedim(dim, 0)
    padded = torch.cat([moved, moved.new_zeros(max(sizes) - len(moved), *moved.shape[1:])]).contiguous()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]).movedim(0, dim)


def join_world(store: Path | None = None, rank: int = -1, size: int = -1) -> None:
    """Join the process group that meets at the file `store`, else the one that the environment describes."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    stand_in()
    where = {} if store is None else {"init_method": f"file://{store}", "rank": rank, "world_size": size}
    dist.init_process_group("gloo", timeout=TIMEOUT, **where)


def run_cases(cases: dict[str, Case], out: Path) -> None:
    """Run every case, in the same order in all processes, and write what came of each."""
    told: dict[str, dict[str, Any]] = {}
    for name, case in cases.items():
        began = time.perf_counter()
        try:
            case()
            told[name] = {"error": None}
        except BaseException:
            told[name] = {"error": traceback.format_exc()}
        told[name]["seconds"] = round(time.perf_counter() - began, 2)
        (out / f"rank{dist.get_rank()}.json").write_text(json.dumps(told), "utf-8")
        dist.barrier()


def everywhere(value: Any) -> list[Any]:
    """Return what each rank gives."""
    told: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(told, value)
    return told


class Scheduler:
    """One that shows the step, and its noise."""

    begin_index = None

    def __init__(self, steps: int) -> None:
        self.step_index = 0
        self.sigmas = torch.linspace(1, 0, steps + 1)


def drive(model: Any, policy: Policy, given: Given, branches: tuple[str, ...] = ("",), **more: Any) -> Any:
    """Drive a bare model through a run; returns its outputs and what became of each step, values and all."""
    scheduler, outputs = Scheduler(len(given)), []
    with attach(policy, model, **more) as cached, cached.run(steps=len(given), scheduler=scheduler):
        for scheduler.step_index, arguments in enumerate(given):
            for branch in branches:
                said = {**arguments, **arguments.get(branch, {})}
                said = {key: value for key, value in said.items() if key not in branches}
                if branch:
                    with model.cache_context(branch):
                        outputs.append(model(**said, return_dict=False)[0])
                else:
                    outputs.append(model(**said, return_dict=False)[0])
    steps = [
        (s.stack, s.step, s.branch, tuple((u.outcome, u.reason, u.value) for u in s.units))
        for s in cached.trace.steps()
    ]
    return outputs, steps


def outcomes(steps: list[Any]) -> list[Any]:
    return [(stack, step, branch, [unit[0] for unit in units]) for stack, step, branch, units in steps]


def equals_one(make: Callable[[], Any], whole: Policy, split: Policy, given: Given, **more: Any) -> list[Any]:
    """Assert that all ranks together do what one does; returns what became of each step."""
    expected, alone = drive(make(), whole, given, **more)
    outputs, steps = drive(make(), split, given, **more)
    told = everywhere(steps)
    assert all(one == told[0] for one in told), "every rank decides alike, values to the last bit"
    assert outcomes(steps) == outcomes(alone), "and as one would"
    for one, other in zip(outputs, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-4)
    return steps


def run_inputs(name: str, steps: int, seed: int = 0, tokens: int | None = None, text: int | None = None) -> Given:
    """Return the arguments of each step, for so many image and text tokens of Flux."""
    found = []
    for step in range(steps):
        given = inputs(name, step, steps, seed=seed)
        if tokens is not None:
            given["hidden_states"], given["img_ids"] = given["hidden_states"][:, :tokens], given["img_ids"][:tokens]
        if text is not None:
            given["encoder_hidden_states"] = given["encoder_hidden_states"][:, :text]
            given["txt_ids"] = given["txt_ids"][:text]
        found.append(given)
    return found
