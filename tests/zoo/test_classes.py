"""Every transformer class of diffusers under a policy: exact, stationary, as planned, again, and without a trace."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers import ModelMixin
from diffusers.models import transformers as diffusers_transformers
from torch import nn

from cachedsl import PolicyError, supported_matrix
from cachedsl.language.parts import Cfg, Compute, Prune, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching.reading import match_transformer
from cachedsl.runtime.handle import Cached
from cachedsl.runtime.model_io import model_input
from cachedsl.signals import StepView
from cachedsl.signals.filtered_latent import NoGrid, filtered_latent
from tests.zoo.base import Entry, tensors
from tests.zoo.entries import ENTRIES, NO_DENOISERS

STEPS = 8
FUSED = Cfg("fused")


def run(entry: Entry, model: nn.Module, *, fixed: bool = False) -> list[list[torch.Tensor]]:
    outputs = []
    with torch.no_grad():
        for step in range(STEPS):
            entry.prepare(model)
            outputs.append(tensors(model(**entry.inputs(2 if fixed else step, STEPS))))
    return outputs


@contextmanager
def under(entry: Entry, model: nn.Module, policy: Policy) -> Iterator[Cached]:
    with policy.apply(model) as cached, cached.run(steps=STEPS):
        yield cached


def static(front: int, back: int, **more: Any) -> Policy:
    return Policy(compute=Compute(front, back), warmup=Warmup(2), reuse=Reuse("always"), cfg=FUSED, **more)


def equal(a: list[list[torch.Tensor]], b: list[list[torch.Tensor]]) -> bool:
    return all(torch.equal(x, y) for one, other in zip(a, b, strict=True) for x, y in zip(one, other, strict=True))


def test_every_class_that_an_adapter_names_is_in_the_zoo() -> None:
    """And the zoo has none that no adapter names; the matrix says that the tests run each of them."""
    assert {row.transformer for row in supported_matrix()} == {name.partition("/")[0] for name in ENTRIES}


def test_every_transformer_class_of_diffusers_is_in_the_zoo() -> None:
    """A new one makes this fail, until it has an adapter or a reason not to have one."""
    found = {"UniDiffuserModel", "UVit2DModel"}  # which live elsewhere
    for module in pkgutil.iter_modules(diffusers_transformers.__path__):
        members = vars(importlib.import_module(f"{diffusers_transformers.__name__}.{module.name}")).items()
        found |= {
            name
            for name, cls in members
            if inspect.isclass(cls) and issubclass(cls, ModelMixin) and cls.__module__.endswith(f".{module.name}")
        }
    assert found - NO_DENOISERS.keys() == {name.partition("/")[0] for name in ENTRIES}
    assert NO_DENOISERS.keys() <= found


def test_adapters_say_which_latents_have_places() -> None:
    """Declared as it is in the calls: the filter of `filtered_latent` works where they say so, and nowhere else."""
    view = StepView(0, torch.zeros(1, 1, 1), mixing=lambda: (0.5, 0.5))
    signal = Signal("filtered_latent")
    refused = []
    for name, entry in ENTRIES.items():
        if name == "Transformer2DModel":
            continue  # its discrete variant has classes for a latent, and no spectrum
        adapter = match_transformer([name.partition("/")[0]])
        assert adapter is not None
        view.model_input = model_input(entry.inputs(0, STEPS), adapter.input, name)
        if adapter.input.places:
            assert filtered_latent(view, signal).isfinite().all(), name
            continue
        refused.append(name)
        with pytest.raises(NoGrid):
            filtered_latent(view, signal)
    assert {"QwenImageTransformer2DModel", "Flux2Transformer2DModel", "ZImageTransformer2DModel"} <= {*refused}
    assert not {"FluxTransformer2DModel", "WanTransformer3DModel", "SD3Transformer2DModel"} & {*refused}


@pytest.fixture(params=sorted(ENTRIES))
def entry(request: pytest.FixtureRequest) -> Entry:
    torch.set_num_threads(1)
    return ENTRIES[request.param]


def test_threshold_0_is_exact_and_detaching_leaves_no_trace(entry: Entry) -> None:
    model = entry.build()
    before = {
        name: (type(module), len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    }
    plain = run(entry, model)
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(0.0), cfg=FUSED)
    with under(entry, model, policy) as cached:
        assert equal(run(entry, model), plain)
        assert {s.outcome for s in cached.trace.steps()} == {"computed"}
    after = {
        name: (type(module), len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    }
    assert after == before
    assert equal(run(entry, model), plain)


@pytest.mark.parametrize(("front", "back"), [(1, 0), (1, 1)])
def test_a_stationary_input_gives_the_computed_output(entry: Entry, front: int, back: int) -> None:
    model = entry.build()
    expected = run(entry, model, fixed=True)[0]
    with under(entry, model, static(front, back)) as cached:
        outputs = run(entry, model, fixed=True)
        assert any(s.outcome == "reused" for s in cached.trace.steps())
    for step, output in enumerate(outputs):
        for mine, other in zip(output, expected, strict=True):
            assert (mine - other).abs().max() <= 1e-4 * (other.abs().max() + 1e-3), step


@pytest.mark.parametrize(("front", "back"), [(0, 1), (2, 0)])
def test_blocks_that_always_run_read_nothing_of_a_reused_middle(entry: Entry, front: int, back: int) -> None:
    """Where long skips would let them, the policy is refused."""
    model = entry.build()
    adapter = match_transformer([type(model).__name__])
    assert adapter is not None
    skipping = [stack for stack in adapter.stacks.values() if stack.long_skips]
    if (skipping and back > front) or (len(skipping) > 1 and front > back + 1):
        with pytest.raises(PolicyError, match="long-skips"):
            static(front, back).apply(model)
        return
    expected = run(entry, model, fixed=True)[0]
    with under(entry, model, static(front, back)):
        for output in run(entry, model, fixed=True):
            for mine, other in zip(output, expected, strict=True):
                assert (mine - other).abs().max() <= 1e-4 * (other.abs().max() + 1e-3)


@pytest.mark.parametrize("kind", ["F1B0", "F1B1", "prune"])
def test_the_planned_steps_are_reused_and_a_second_run_is_as_the_first(entry: Entry, kind: str) -> None:
    """Counted by the executions of the blocks themselves."""
    model = entry.build()
    adapter = match_transformer([type(model).__name__])
    assert adapter is not None
    counts: Counter[tuple[str, int]] = Counter()
    for path in adapter.stacks:
        for index, block in enumerate(model.get_submodule(path)):  # type: ignore[arg-type]
            block.register_forward_hook(lambda *_, key=(path, index): counts.update([key]))
    run(entry, model)
    every = {key: count // STEPS for key, count in counts.items()}
    counts.clear()
    policy = {
        "F1B0": static(1, 0),
        "F1B1": static(1, 1),
        "prune": Policy(compute=Compute(1, 1), warmup=Warmup(2), reuse=Reuse(1e9), prune=Prune(), cfg=FUSED),
    }[kind]
    with policy.apply(model) as cached:
        with cached.run(steps=STEPS):
            first = run(entry, model)
        for stack in cached.plan(STEPS).stacks:
            blocks = [key for key in every if key[0] == stack.name]
            middle = {(stack.name, i) for unit in stack.units for i in range(unit.start, unit.stop)}
            for key in blocks:
                assert counts[key] == every[key] * (2 if key in middle else STEPS), key
        assert cached.summary().blocks_run == sum(counts.values())
        with cached.run(steps=STEPS):
            assert equal(run(entry, model), first)
