"""Two ranks cannot decide differently: all that decides, and all that is made of sums, goes through one reduction.

Taps and methods are those of the registries, so that a new one is tested, or makes a test fail that says what it needs.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve

from cachedsl.language.methods import METHODS
from cachedsl.language.parts import Cfg, Compute, Dynamic, Predict, Prune, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.ratios import Ratios
from cachedsl.language.taps import TAPS
from cachedsl.predictors import build_predictor
from cachedsl.runtime.learn import learn
from cachedsl.signals import Meter, ModelInput, Setting, StepView, build_meter, reducing
from cachedsl.signals.metrics import METRICS
from tests.ranks import Group
from tests.tiny import inputs, tiny_transformer

STEPS = 10
GIVEN = {"ratios": Ratios((1.0, 1.3, 1.2, 1.1, 1.2, 1.1, 1.2, 1.3, 1.1, 1.2))}
"""What taps require, by the parameter's name."""

Part = tuple[slice, slice]
BY_TOKENS: tuple[Part, ...] = ((slice(None), slice(0, 4)), (slice(None), slice(4, 8)))
BY_ITEMS: tuple[Part, ...] = ((slice(0, 1), slice(None)), (slice(1, 2), slice(None)))
WHOLE: Part = (slice(None), slice(None))


def signal(tap: Any, **more: Any) -> Signal:
    return Signal(tap, **{name: GIVEN[name] for name in TAPS[tap].requires}, **more)


def shown(part: Part, scale: float) -> StepView:
    """What a step shows of two items of eight tokens, to a rank that has a part of them."""
    generator = torch.Generator().manual_seed(1)
    entry, after = (torch.randn(2, 8, 4, generator=generator) for _ in range(2))
    uneven = torch.arange(8)[:, None] * torch.tensor([1.0, 2.0])[:, None, None]
    entry, moved = entry[part], (after * (1 + scale * uneven))[part]
    return StepView(0, moved, entry, moved, moved, ModelInput(moved, (2, 4)))


def measured(one: Signal, part: Part) -> float:
    meter: Meter = build_meter(one, Setting(num_steps=STEPS))
    for step, scale in enumerate((0.0, 0.1)):
        now = meter.look(evolve(shown(part, scale), step=step))
        meter.keep(now)
        meter.observe(now, lambda scale=scale: shown(part, 2 * scale).unit_entry, True)  # type: ignore[misc]
    return meter.measure(meter.look(evolve(shown(part, 0.3), step=2)))


def variants() -> list[tuple[str, str, float, str]]:
    found = []
    for name, tap in TAPS.items():
        metrics = METRICS if "metric" in tap.parameters else ["relative_l1"]
        floors = [0.0, 0.2] if "token_floor" in tap.parameters else [0.0]
        # a latent that is looked at as a picture is never parted; the model's input comes whole
        ways = ["items"] if tap.source == "model_input" and tap.meter.endswith(f":{name}") else ["items", "tokens"]
        found += [(name, metric, floor, way) for metric in metrics for floor in floors for way in ways]
    return found


@pytest.mark.parametrize(("tap", "metric", "floor", "way"), variants())
def test_ranks_measure_what_one_would_that_has_everything(tap: str, metric: Any, floor: float, way: str) -> None:
    one = evolve(signal(tap), metric=metric, token_floor=floor)
    group, parts = Group(), BY_TOKENS if way == "tokens" else BY_ITEMS

    def on_rank(number: int) -> float:
        with reducing(group.rank(number)):
            return measured(one, parts[number])

    values = group.run(on_rank)
    assert values[0] == values[1]
    assert values[0] == pytest.approx(measured(one, WHOLE), rel=1e-4)
    if TAPS[tap].holds.stream is None:  # it looks at no tensor
        assert group.reduced == 0
    else:
        assert group.reduced > 0
        assert measured(one, parts[0]) != measured(one, parts[1]), "alone they would not agree"


def predicted(predict: Predict, part: Part) -> torch.Tensor:
    predictor, generator = build_predictor(predict), torch.Generator().manual_seed(2)
    patterns = torch.randn(3, 2, 8, 4, generator=generator)
    for step in range(8):
        value = patterns[0] + 0.8**step * patterns[1] + 0.6**step * patterns[2] * torch.arange(8)[:, None]
        if predictor.needs_probe:
            predictor.see(value[part].sin())
        if step < 7:
            predictor.update(value[part], float(step))
    return predictor.predict(7.5)


@pytest.mark.parametrize("way", ["items", "tokens"])
@pytest.mark.parametrize("method", METHODS)
def test_ranks_predict_what_one_would_that_has_everything(method: str, way: str) -> None:
    group, parts = Group(), BY_TOKENS if way == "tokens" else BY_ITEMS

    def on_rank(number: int) -> torch.Tensor:
        with reducing(group.rank(number, share_items=way == "tokens")):
            return predicted(Predict(method), parts[number])  # type: ignore[arg-type]

    found = torch.cat(group.run(on_rank), 1 if way == "tokens" else 0)
    assert torch.allclose(found, predicted(Predict(method), WHOLE), atol=1e-4)  # type: ignore[arg-type]


def policy(threshold: Any = 0.2, **rest: Any) -> Policy:
    reuse = Reuse(threshold, rest.pop("signal", Signal()))
    return Policy(**{"compute": Compute(1, 0), "warmup": Warmup(2), "reuse": reuse, "cfg": Cfg("fused"), **rest})


THRESHOLDS = {"magnitude": 0.15, "transform_rate": 0.3, "filtered_latent": 0.15}
POLICIES = {
    **{name: policy(THRESHOLDS.get(name, 0.2), signal=signal(name)) for name in TAPS},
    "joined": policy(span="joined"),
    "probe_gain": policy(predict=Predict("probe_gain")),
    "pruned": policy(0.1, prune=Prune()),
    "pruned by what the step shows": policy(0.08, prune=Prune(dynamic=Dynamic())),
    "back blocks": policy(compute=Compute(1, 2, back_blocks=(1,), back_threshold=0.02)),
}


def both(step: int) -> dict[str, Any]:
    """Return the inputs of both items in one batch."""
    one, other = (inputs("flux", step, STEPS, seed=seed) for seed in (0, 3))
    shared = ("img_ids", "txt_ids")
    return {name: one[name] if name in shared else torch.cat([one[name], other[name]]) for name in one}


class Scheduler:
    """One that shows the step, and its noise."""

    begin_index = None
    sigmas = torch.linspace(1, 0, STEPS + 1)

    def __init__(self) -> None:
        self.step_index = 0


def drive(model: Any, one: Policy, given: list[dict[str, Any]], ranks: Any = None) -> tuple[torch.Tensor, list[Any]]:
    scheduler, outputs = Scheduler(), []
    with one.apply(model) as cached, torch.no_grad():
        cached._session.ranks = ranks
        with cached.run(steps=len(given), scheduler=scheduler):
            for scheduler.step_index, arguments in enumerate(given):
                outputs.append(model(**arguments, return_dict=False)[0])
        units = [(s.stack, s.step, tuple((u.outcome, u.value) for u in s.units)) for s in cached.trace.steps()]
    return torch.stack(outputs), units


@pytest.mark.parametrize("name", POLICIES)
def test_ranks_take_the_steps_that_one_would_that_has_both_items(name: str) -> None:
    one, group = POLICIES[name], Group()
    models = [tiny_transformer("flux", blocks=4) for _ in range(3)]
    expected, steps = drive(models[2], one, [both(step) for step in range(STEPS)])
    outcomes = [outcome for _, _, units in steps for outcome, _ in units]
    assert {*outcomes[len(outcomes) // 3 :]} == {"computed", "reused"}, "there is something to disagree over"

    def on_rank(number: int) -> tuple[torch.Tensor, list[Any]]:
        given = [inputs("flux", step, STEPS, seed=(0, 3)[number]) for step in range(STEPS)]
        return drive(models[number], one, given, group.rank(number, share_items=False))

    (first, mine), (second, others) = group.run(on_rank)
    assert mine == others, "every value is the same, bit by bit"
    plain = [[[outcome for outcome, _ in units] for _, _, units in found] for found in (mine, steps)]
    assert plain[0] == plain[1]
    assert torch.allclose(torch.cat([first, second], 1), expected, atol=1e-4)


def test_ranks_agree_on_a_change_of_size_that_one_of_them_does_not_see() -> None:
    """Two ranks hold 4 and 3 of 7 tokens, then 4 and 4 of 8: only one of them has others than before."""
    one, group, models = policy("always"), Group(), [tiny_transformer("flux", blocks=4) for _ in range(2)]

    def on_rank(number: int) -> list[str]:
        model = models[number]

        def part(module: Any, args: Any, kwargs: Any) -> Any:
            hidden, ids = kwargs["hidden_states"], kwargs["img_ids"]
            here = slice(0, 4) if number == 0 else slice(4, None)
            return args, {**kwargs, "hidden_states": hidden[:, here], "img_ids": ids[here]}

        forward = model.forward

        def parted(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = part(model, args, kwargs)
            return forward(*args, **kwargs)

        model.forward = parted  # type: ignore[method-assign]
        with one.apply(model) as cached:
            cached._session.ranks = group.rank(number)
            with cached.run(steps=6):
                for step in range(6):
                    given, tokens = inputs("flux", step, 6), 7 if step < 4 else 8
                    model(**{**given, "hidden_states": given["hidden_states"][:, :tokens]} | ids(given, tokens))
            return [f"{step.outcome} {step.reason}" for step in cached.trace.steps()]

    def ids(given: dict[str, Any], tokens: int) -> dict[str, Any]:
        return {"img_ids": given["img_ids"][:tokens]}

    first, second = group.run(on_rank)
    assert first == second
    assert any("shape" in step for step in first)


def test_ranks_learn_the_same_of_an_unknown_model() -> None:
    """One of them finds that its output is another one each time, by a number in it; then both refuse."""
    group = Group()

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 8)

        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            return hidden_states + 0.1 * self.linear(hidden_states)

    class Model(torch.nn.Module):
        def __init__(self, restless: bool) -> None:
            super().__init__()
            self.blocks = torch.nn.ModuleList([Block() for _ in range(4)])
            self.restless = iter(range(10**6)) if restless else None

        def forward(self, hidden_states: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                hidden_states = block(hidden_states)
            return hidden_states if self.restless is None else hidden_states + next(self.restless)

    def on_rank(number: int) -> str:
        with reducing(group.rank(number)):
            try:
                learn(Model(number == 1), (), {"hidden_states": torch.ones(1, 4, 8), "timestep": torch.ones(1)})
            except Exception as error:
                return str(error)
        return ""

    first, second = group.run(on_rank)
    assert first == second
    assert "different outputs" in first
