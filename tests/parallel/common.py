"""What the cases of two and of four processes have in common: policies, models, refusals, random runs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from attrs import evolve

from cachedsl.engines import EngineRefused
from cachedsl.language.parts import Cfg, Compute, Dynamic, Predict, Prune, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.runtime import Parallel, Runtime
from tests.parallel.world import drive, equals_one, everywhere, outcomes, run_inputs
from tests.tiny import tiny_transformer

STEPS = 8


def policy(threshold: Any = 0.1, **rest: Any) -> Policy:
    reuse = Reuse(threshold, rest.pop("signal", Signal()))
    return Policy(**{"compute": Compute(1, 0), "warmup": Warmup(2), "reuse": reuse, "cfg": Cfg("fused"), **rest})


def over(one: Policy, **degrees: Any) -> Policy:
    return evolve(one, runtime=Runtime(parallel=Parallel(**degrees)))


def flux(**config: Any) -> Any:
    return tiny_transformer("flux", blocks=3, **config)


def refusal(make: Any, one: Policy, given: Any = None) -> str:
    model = make()
    before = {name: id(module) for name, module in model.named_modules()}, type(model)
    try:
        if given is None:
            one.apply(model)
        else:
            drive(model, one, given)
    except EngineRefused as error:
        assert given or (
            model._parallel_config is None
            and before == ({name: id(module) for name, module in model.named_modules()}, type(model))
        ), "nothing was changed"
        told = everywhere(str(error))
        assert all(told), "all processes are told"
        return str(error)
    raise AssertionError("it was not refused")


def some_of_each(steps: list[Any]) -> None:
    found = {outcome for _, _, _, units in outcomes(steps) for outcome in units}
    assert found == {"computed", "reused"}, f"there is nothing to disagree over: {found}"


def random_policy(draw: random.Random) -> Policy:
    """A measuring policy, of any tap that needs nothing but the model."""
    taps = ["residual", "hidden_states", "probe", "block_input", "modulated_input", "transform_rate", "filtered_latent"]
    tap, kind = draw.choice(taps), draw.random()
    signal = Signal(tap)  # type: ignore[arg-type]
    if "metric" in signal.spec.reads:
        signal = evolve(signal, metric=draw.choice(["relative_l1", "relative_l2", "cosine"]))
        signal = evolve(signal, token_floor=draw.choice([0.0, 0.0, 0.05]))
    threshold = draw.choice([0.02, 0.05, 0.1, 0.2, 0.4])
    compute = Compute(draw.randint(1, 2), draw.choice([0, 0, 1]))
    more: dict[str, Any] = {"predict": Predict(draw.choice(["copy", "taylor", "foca", "dmd", "probe_gain", "newton"]))}
    if kind < 0.2:
        return policy(threshold, compute=compute, prune=Prune(dynamic=draw.choice([None, Dynamic()])))
    if kind < 0.35:
        compute = Compute(1, 2, back_blocks=(1,), back_threshold=threshold)
    elif kind < 0.5:
        more["span"] = "joined"
    return policy(threshold, signal=signal, compute=compute, **more)


def random_run(seed: int, size: int) -> tuple[Callable[[], Any], Policy, Policy, list[dict[str, Any]]]:
    """Return a model, a policy, the same over `size` processes, and the inputs of a run of any number of tokens."""
    draw = random.Random(seed)
    one, tokens, text = random_policy(draw), draw.randint(9, 16), draw.randint(4, 6)
    if one.reuse.signal.tap == "filtered_latent":
        tokens = 16  # which it puts on a grid
    blocks, verify = draw.randint(4, 5), draw.random() < 0.5

    def make() -> Any:
        return tiny_transformer("flux", seed=seed, blocks=blocks, num_attention_heads=size, attention_head_dim=16)

    split = over(one, ulysses=size, uneven=True, verify=verify)
    return make, one, split, run_inputs("flux", STEPS, seed, tokens, text)


def random_case(seed: int, size: int) -> list[Any]:
    """Assert that a random run over `size` processes does what one does."""
    return equals_one(*random_run(seed, size))
