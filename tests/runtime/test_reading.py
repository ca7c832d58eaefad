"""How often a run waits for the device: never under a static plan, once for all values that are known together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from torch.utils._python_dispatch import TorchDispatchMode

from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Predict, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.signals import Meter, ModelInput, Setting, StepView, build_meter, read, reducing
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
    """Return how often scalars and lists were read in a run, and how many steps were measured."""
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
        measured = sum(step.value is not None for step in cached.trace.steps())
    return seen.scalars - STEPS * bare.scalars, lists[0], measured


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


TAPS = ["residual", "hidden_states", "probe", "block_input", "modulated_input", "transform_rate"]


def shown(half: slice, scale: float) -> StepView:
    generator = torch.Generator().manual_seed(1)
    entry, after = (torch.randn(1, 8, 4, generator=generator)[:, half] for _ in range(2))
    moved = after * (1 + scale * torch.arange(8)[half, None])
    return StepView(0, moved, entry, moved, moved, ModelInput(moved))


@pytest.mark.parametrize("floor", [0.0, 0.2])
@pytest.mark.parametrize("metric", ["relative_l1", "relative_l2", "cosine"])
@pytest.mark.parametrize("tap", TAPS)
def test_two_ranks_with_half_of_the_tokens_each_get_the_value_of_the_whole(tap: Any, metric: Any, floor: float) -> None:
    signal: Signal = evolve(Signal(tap), metric=metric, token_floor=floor)

    def prepared(half: slice) -> tuple[Meter, Any]:
        meter = build_meter(signal, Setting())
        for scale in (0.0, 0.1):
            now = meter.look(shown(half, scale))
            meter.keep(now)
            meter.observe(now, lambda scale=scale: shown(half, 2 * scale).unit_entry, True)
        return meter, meter.look(shown(half, 0.3))

    waiting: list[list[torch.Tensor]] = [[], []]

    def record(rank: int) -> Any:
        def reduction(parts: torch.Tensor) -> torch.Tensor:
            waiting[rank].append(parts)
            return parts

        return reduction

    halves = [slice(0, 4), slice(4, 8)]
    for rank, half in enumerate(halves):
        with reducing(record(rank)):
            meter, now = prepared(half)
            meter.measure(now)
    assert waiting[0], "every value is reduced before it is one"
    assert len(waiting[0]) == len(waiting[1])
    values = []
    for half in halves:
        answers = iter([a + b for a, b in zip(*waiting, strict=True)])
        with reducing(lambda parts, answers=answers: next(answers)):
            meter, now = prepared(half)
            values.append(read([meter.sums(now)])[0])
    whole, now = prepared(slice(0, 8))
    assert values[0] == values[1]
    assert values[0] == pytest.approx(whole.measure(now), rel=1e-4)
