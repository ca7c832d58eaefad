"""How often a run waits for the device: under a static plan never before it is over, else once for all values that are
known together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Predict, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from tests.tiny import inputs, tiny_transformer

STEPS = 8


class Reads(TorchDispatchMode):
    """Counts the reads of a scalar; lists of several are counted by `Tensor.tolist`."""

    def __init__(self) -> None:
        super().__init__()
        self.scalars = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.scalars += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Scheduler:
    step_index = 0
    begin_index = None


def reads(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """Return how often scalars and lists were read in a run, and how many steps were measured; once more when it is over."""
    lists = [0]
    tolist = torch.Tensor.tolist

    def counted(tensor: torch.Tensor) -> Any:
        lists[0] += 1
        return tolist(tensor)

    model, scheduler, given = tiny_transformer("flux"), Scheduler(), [inputs("flux", i, STEPS) for i in range(STEPS)]
    with torch.no_grad(), Reads() as bare:
        model(**given[0])
    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    with policy.apply(model) as cached, torch.no_grad(), cached.run(steps=STEPS, scheduler=scheduler):
        with Reads() as seen:
            for step in range(STEPS):
                scheduler.step_index = step
                model(**given[step])
        measured, during = sum(step.value is not None for step in cached.trace.steps()), lists[0]
    assert lists[0] - during == 1, "when the run is over, whether what the model returned was finite"
    return seen.scalars - STEPS * bare.scalars, during, measured


def policy(reuse: Reuse, **rest: Any) -> Policy:
    return Policy(**{"compute": Compute(1, 0), "warmup": Warmup(2), "reuse": reuse, "cfg": Cfg("fused"), **rest})


STATIC = [
    policy(Reuse("always", max_continuous=2), predict=Predict("taylor", 2)),
    policy(Reuse("always"), steps=BitMask("11010010", "static"), predict=Predict("foca")),
    policy(Reuse(0.0)),
]


@pytest.mark.parametrize("number", range(len(STATIC)))
def test_a_static_plan_reads_nothing_back(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads(STATIC[number], monkeypatch) == (0, 0, 0)


def test_a_measuring_plan_reads_one_scalar_for_each_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    scalars, lists, measured = reads(policy(Reuse(0.1)), monkeypatch)
    assert (scalars, lists) == (measured, 0)
    assert measured > 0


def test_values_that_are_known_together_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = Signal("transform_rate")
    scalars, lists, measured = reads(policy(Reuse(0.2, signal)), monkeypatch)
    assert measured > 0
    assert scalars == 0
    assert 2 * lists == measured, "two block lists, one read"
