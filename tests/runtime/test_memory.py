"""What `Plan.memory` counts is what a run holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve

from cachedsl import Adapter, compile_policy, load_policy
from cachedsl.language.methods import METHODS
from cachedsl.language.parts import Cfg, Compute, Predict, Prune, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.taps import TAPS
from cachedsl.loading import bundled_policies
from cachedsl.matching.reading import match_transformer
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.predictors import build_predictor
from cachedsl.signals import ModelInput, Setting, StepView, build_meter
from tests.tiny import HIDDEN, LATENT, TEXT_TOKENS, call, inputs, tiny_pipeline, tiny_transformer

STEPS = 14
TOKENS = (LATENT // 2) ** 2
FLUX = {"hidden": (1, TOKENS, HIDDEN), "encoder": (1, TEXT_TOKENS, HIDDEN), "latent": (1, TOKENS, 16)}


def held(name: str, policy: Policy) -> tuple[int, Plan]:
    """Return the bytes held after the last step of a run, and the plan."""
    model = tiny_transformer(name)
    with policy.apply(model) as cached, torch.no_grad(), cached.run(steps=STEPS):
        for step in range(STEPS):
            model(**inputs(name, step, STEPS))
        return cached.held_bytes(), cached.plan(STEPS)


def test_every_predictor_is_counted() -> None:
    assert all(method.anchors(Predict(name)) >= 1 for name, method in METHODS.items())


@pytest.mark.parametrize("method", tuple(METHODS))
@pytest.mark.parametrize("streams", [None, ("encoder",)])
def test_predictors(method: Any, streams: Any) -> None:
    predict = Predict(method, 2, streams=None if method == "copy" else streams)
    policy = Policy(
        compute=Compute(1, 0), warmup=Warmup(STEPS - 2), reuse=Reuse("always"), predict=predict, cfg=Cfg("fused")
    )
    found, plan = held("flux", policy)
    assert plan.memory(FLUX, element_size=4).total == found > 0


@pytest.mark.parametrize("method", tuple(METHODS))
def test_what_is_owed_is_held_too(method: Any) -> None:
    predict = Predict(method, 2, history=5, repay=0.5)
    reuse = Reuse("always", max_continuous=2)
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(9), reuse=reuse, predict=predict, cfg=Cfg("fused"))
    found, plan = held("flux", policy)
    counted = plan.memory(FLUX, element_size=4).total
    slack = 4 * FLUX["hidden"][1] * HIDDEN * 2 if method == "copy" else 0  # what it predicted is its anchor
    assert counted - slack == found


@pytest.mark.parametrize(("dtype", "size"), [(torch.bfloat16, 2), (torch.float32, 4), (torch.float64, 8)])
def test_what_is_owed_is_at_least_as_wide_as_the_model(dtype: torch.dtype, size: int) -> None:
    predict = Predict("taylor", 2, repay=0.5)
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(3), reuse=Reuse("always"), predict=predict, cfg=Cfg("fused"))
    predictor = build_predictor(predict)
    for step in range(9):
        if step in (3, 5, 7, 8):
            predictor.predict(float(step))
        else:
            predictor.update(torch.randn(FLUX["hidden"]).to(dtype), float(step))
    held_bytes = sum({t.data_ptr(): t.nbytes for t in predictor.tensors()}.values())
    plan = compile_policy(policy, ModelShape([StackShape("blocks", 3)], "generic"), 9)
    assert plan.memory({"hidden": FLUX["hidden"]}, element_size=size).total == held_bytes


@pytest.mark.parametrize("tap", [tap for tap in tuple(TAPS) if tap not in ("magnitude", "filtered_latent")])
@pytest.mark.parametrize("stride", [1, 3])
def test_signals(tap: Any, stride: int) -> None:
    signal = Signal(tap, stride=stride if tap != "transform_rate" else 1)
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(STEPS - 2), reuse=Reuse(1e6, signal), cfg=Cfg("fused"))
    found, plan = held("flux", policy)
    counted = plan.memory(FLUX, element_size=4)
    assert counted.total == found
    assert all(stack.signal > 0 for stack in counted.stacks)


@pytest.mark.parametrize(
    ("name", "branches", "order"),
    [("flux", 1, None), ("dit", 1, None), ("wan", 2, None), ("cogvideox", 1, (0, 2, 1, 3, 4))],
)
@pytest.mark.parametrize("stride", [1, 3])
def test_the_filtered_latent(name: str, branches: int, order: Any, stride: int) -> None:
    """It needs a scheduler, so through a pipeline; `order` puts the channels of a latent second."""
    pipe = tiny_pipeline(name)
    signal = evolve(Signal("filtered_latent"), stride=stride)
    policy = Policy(compute=Compute(0, 0), span="joined", warmup=Warmup(2), reuse=Reuse(0.3, signal))
    seen: dict[str, tuple[int, ...]] = {}
    most = 0
    with policy.apply(pipe) as cached:

        def enter(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            shape = (args[0] if args else kwargs["hidden_states"]).shape
            seen["latent"] = tuple(shape) if order is None else tuple(shape[axis] for axis in order)

        def block(_: object, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            streams = [t for t in (output if isinstance(output, tuple) else (output,)) if t is not None]
            sizes = sorted((tuple(t.shape) for t in streams), reverse=True)
            seen.update(zip(("hidden", "encoder"), sizes, strict=False))

        def leave(*_: object) -> None:
            nonlocal most
            most = max(most, cached.held_bytes())

        blocks = next(m for m in pipe.transformer.children() if isinstance(m, torch.nn.ModuleList))
        handles = [
            pipe.transformer.register_forward_pre_hook(enter, with_kwargs=True),
            blocks[0].register_forward_hook(block, with_kwargs=True),
            pipe.transformer.register_forward_hook(leave),
        ]
        call(pipe, STEPS)
        for handle in handles:
            handle.remove()
        counted = cached.plan(STEPS).memory(seen, element_size=4, branches=branches)
    assert counted.total == most
    assert all(stack.signal > 0 for stack in counted.stacks)


@pytest.mark.parametrize(
    ("shape", "rest", "channels"),
    [((2, 8, 4, 6), {}, 1), ((2, 3, 8, 4, 6), {"axes": (1, 3, 4)}, 2), ((2, 24, 8), {"grid": (4, 6)}, -1)],
)
def test_the_filtered_latent_is_seen_at_every_kth_channel(
    shape: tuple[int, ...], rest: dict[str, Any], channels: int
) -> None:
    latent = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    view = StepView(0, torch.zeros(1), model_input=ModelInput(latent, **rest), mixing=lambda: (0.5, 0.5))

    def look(stride: int) -> torch.Tensor:
        taken: torch.Tensor = build_meter(evolve(Signal("filtered_latent"), stride=stride), Setting()).look(view)
        assert taken.untyped_storage().nbytes() == taken.nbytes, "nothing else is kept alive with it"
        return taken

    whole, every_third = look(1), look(3)
    assert torch.equal(every_third, whole.movedim(channels, -1)[..., ::3])


def test_pruned_and_back_blocks() -> None:
    for policy in (
        Policy(compute=Compute(1, 1), warmup=Warmup(4), reuse=Reuse(0.2), prune=Prune(), cfg=Cfg("fused")),
        Policy(compute=Compute(1, 2, (0,), 0.1), warmup=Warmup(4), reuse=Reuse("always"), cfg=Cfg("fused")),
    ):
        found, plan = held("flux", policy)
        assert plan.memory(FLUX, element_size=4).total == found > 0


def test_a_policy_that_never_reuses_holds_nothing() -> None:
    found, plan = held("flux", Policy(compute=Compute(1, 0), reuse=Reuse(0.0), cfg=Cfg("fused")))
    assert plan.memory(FLUX).total == found == 0


@pytest.fixture(scope="module")
def deep_pipe() -> Any:
    return tiny_pipeline("flux", blocks=17)  # the deepest policy always runs 16 of them


@pytest.mark.parametrize("name", bundled_policies())
def test_no_bundled_policy_holds_more_than_is_counted(name: str, deep_pipe: Any) -> None:
    """Through a pipeline, two branches: with few steps a predictor may not have all its anchors yet."""
    pipe, most = deep_pipe, 0
    with load_policy(name).apply(pipe) as cached:

        def watch(*_: object) -> None:
            nonlocal most
            most = max(most, cached.held_bytes())

        handle = pipe.transformer.register_forward_hook(watch)
        call(pipe, 28, true_cfg_scale=4.0)
        handle.remove()
        counted = cached.plan(28).memory(FLUX, element_size=4, branches=2).total
    assert 0 < most <= counted


def test_a_missing_shape_is_named() -> None:
    _, plan = held("flux", Policy(compute=Compute(1, 0), cfg=Cfg("fused")))
    with pytest.raises(KeyError, match=r"`hidden` for transformer\.transformer_blocks"):
        plan.memory({"transformer.single_transformer_blocks": FLUX})


@pytest.mark.parametrize("span", ["stack", "joined"])
def test_what_every_block_returned_is_counted_where_it_is_kept(span: Any) -> None:
    known = match_transformer(["FluxTransformer2DModel"])
    assert known is not None
    keeping = {path: evolve(stack, between="keep") for path, stack in known.stacks.items()}
    adapter = Adapter("keeping", {"FluxTransformer2DModel": evolve(known, stacks=keeping)})
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(4), reuse=Reuse("always"), span=span, cfg=Cfg("fused"))
    model = tiny_transformer("flux")
    with policy.apply(model, adapter=adapter) as cached, torch.no_grad(), cached.run(steps=STEPS):
        for step in range(STEPS):
            model(**inputs("flux", step, STEPS))
        assert cached.plan(STEPS).memory(FLUX, element_size=4).total == cached.held_bytes()
    found, _ = held("flux", policy)
    middles = sum(unit.stop - unit.start - 1 for stack in cached.plan(STEPS).stacks for unit in stack.units)
    per_block = 4 * sum(FLUX[stream][1] * FLUX[stream][2] for stream in ("hidden", "encoder"))
    assert cached.plan(STEPS).memory(FLUX, element_size=4).total == found + middles * per_block
