"""What two GPUs do together on NCCL, with nothing that stands in; see test_gpu.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cachedsl.language.parts import Dynamic, Predict, Prune
from tests.parallel.common import STEPS, over, policy, some_of_each
from tests.parallel.world import TIMEOUT, Case, drive, everywhere, outcomes, run_cases, run_inputs
from tests.tiny import tiny_transformer

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def flux(backend: str = "native") -> Any:
    model = tiny_transformer(
        "flux", blocks=3, num_attention_heads=4, attention_head_dim=64, axes_dims_rope=(16, 24, 24)
    )
    model.to("cuda", torch.bfloat16)
    model.set_attention_backend(backend)  # type: ignore[operator]
    return model


def given() -> list[dict[str, Any]]:
    found = run_inputs("flux", STEPS)
    half = ("hidden_states", "encoder_hidden_states", "pooled_projections")
    for arguments in found:
        for name, value in arguments.items():
            arguments[name] = value.to("cuda", torch.bfloat16 if name in half else None)
    return found


def as_one(one: Any, split: Any, backend: str = "native") -> None:
    """Assert that both decide alike, and nearly as one does: in bfloat16 a value may fall on the other side."""
    expected, alone = drive(flux(backend), one, given())
    outputs, steps = drive(flux(backend), split, given())
    assert all(told == steps for told in everywhere(steps))
    some_of_each(steps)
    if outcomes(steps) == outcomes(alone):
        torch.testing.assert_close(outputs, expected, rtol=0.1, atol=0.1)


@case
def ulysses() -> None:
    as_one(policy(0.2), over(policy(0.2), ulysses=2, verify=True))


@case
def uneven_tokens_go_through_nccl() -> None:
    as_one(policy(0.2, predict=Predict("dmd")), over(policy(0.2, predict=Predict("dmd")), ulysses=2, uneven=True))


@case
def ring_with_attention_that_returns_its_log_sum_exp() -> None:
    as_one(policy(0.2), over(policy(0.2), ring=2, verify=True), "_native_cudnn")


@case
def tensor_parallel_with_pruning() -> None:
    one = policy(0.1, prune=Prune(dynamic=Dynamic()))
    as_one(one, over(one, tensor=2, verify=True))


@case
def a_compiled_model() -> None:
    one, model = policy(0.2), flux()
    with over(one, ulysses=2).apply(model, num_inference_steps=STEPS) as cached:
        compiled = torch.compile(model)
        for arguments in given():
            compiled(**arguments, return_dict=False)
        found = [step.outcome for step in cached.trace.steps()]
    assert everywhere(found)[0] == everywhere(found)[1]


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl", timeout=TIMEOUT)
    run_cases(CASES, Path(sys.argv[1]))
    dist.destroy_process_group()
