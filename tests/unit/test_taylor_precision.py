"""Predictors are as precise as their anchors: nothing overflows in float16, and float64 stays float64."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cachedsl.language.methods import METHODS
from cachedsl.language.parts import Predict
from cachedsl.predictors import Predictor, build_predictor
from cachedsl.predictors.taylor import TaylorPredictor

SIGMAS = [1 - i / 50 for i in range(12)]
TAYLORS = [Predict("taylor", 3), Predict("taylor", 3, form="published"), Predict("hermite", 3)]
methods = pytest.mark.parametrize("predict", TAYLORS, ids=["exact", "published", "hermite"])


def smooth(count: int, scale: float, dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(0)
    a, b, c = (torch.randn(1, 16, 16, dtype=torch.float64) for _ in range(3))
    return [((a + b * (i / 10) + c * (i / 10) ** 2) * scale).to(dtype) for i in range(count)]


def fed(predict: Predict, values: list[torch.Tensor], clock: list[float]) -> Predictor:
    predictor = build_predictor(predict)
    for value, position in zip(values, clock, strict=False):
        predictor.see(torch.full((1, 2, 3), position, dtype=value.dtype))
        predictor.update(value, position)
    return predictor


def divided(values: list[torch.Tensor], clock: list[float], order: int) -> list[torch.Tensor]:
    """The paper's differences, D_{j+1} = (D_j - D_j') / gap, in float64."""
    held = [values[0].double()]
    for value, (before, here) in zip(values[1:], pairwise(clock), strict=False):
        fresh = [value.double()]
        for older in held[:order]:
            fresh.append((fresh[-1] - older) / (here - before))
        held = fresh
    return held


@methods
@pytest.mark.parametrize("scale", [1e-2, 1.0, 400.0])
def test_small_gaps_do_not_overflow_in_float16(predict: Predict, scale: float) -> None:
    values = smooth(9, scale, torch.float16)
    found = fed(predict, values, SIGMAS).predict(SIGMAS[10])
    assert found.isfinite().all()
    expected = fed(predict, [value.double() for value in values], SIGMAS).predict(SIGMAS[10])
    assert torch.allclose(found.double(), expected, rtol=0, atol=0.01 * float(expected.abs().max()))


@given(st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=8), st.sampled_from([-1, 1]), st.integers(1, 6))
def test_what_is_held_is_never_larger_than_the_anchors(gaps: list[float], direction: int, order: int) -> None:
    most = torch.finfo(torch.float16).max
    predictor, position = TaylorPredictor(order), 0.0
    for i, gap in enumerate((0.0, *gaps)):
        position += direction * gap
        predictor.update(torch.full((1, 1, 1), most * (-1) ** i, dtype=torch.float16), position)
        assert all(float(t.abs()) <= most for t in predictor.tensors())


@methods
@pytest.mark.parametrize(
    "clock", [[0, 1, 2, 3, 4], [0, 1, 3, 4, 9], [1.0, 0.98, 0.96, 0.9, 0.88], [999, 900, 871, 700, 650]]
)
def test_it_is_the_published_recurrence_in_float32(predict: Predict, clock: list[float]) -> None:
    torch.manual_seed(1)
    values = [torch.randn(1, 4, 8) for _ in clock]
    predictor = fed(predict, values, clock)
    assert isinstance(predictor, TaylorPredictor)
    expected = divided(values, clock, predict.order)
    for scale, kept, wanted in zip(predictor._scales, predictor.tensors(), expected, strict=True):
        assert torch.allclose(scale * kept.double(), wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    distance = 2 * (clock[-1] - clock[-2])
    whole = expected[0].clone()
    for weight, difference in zip(predictor._weights(predict.order, distance), expected[1:], strict=True):
        whole += weight * difference
    assert torch.allclose(predictor.predict(clock[-1] + distance).double(), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", tuple(METHODS))
@pytest.mark.parametrize("repay", [0.0, 1.0])
def test_constants_are_exact_in_float64(method: Any, repay: float) -> None:
    torch.manual_seed(2)
    value = torch.randn(1, 4, 8, dtype=torch.float64)
    predictor = build_predictor(Predict(method, 2, repay=repay))
    for position in range(9):
        predictor.see(torch.full((1, 2, 3), position / 7, dtype=torch.float64))
        if position in (3, 4, 6, 8):
            found = predictor.predict(float(position))
            assert found.dtype is torch.float64
            assert torch.equal(found, value) if not repay else torch.allclose(found, value, rtol=1e-13, atol=1e-13)
        else:
            predictor.update(value, float(position))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_polynomials_are_exact_in_float64(order: int) -> None:
    def polynomial(t: float) -> torch.Tensor:
        return torch.tensor([[[sum((0.3 * t) ** i / (i + 1) for i in range(order + 1))]]], dtype=torch.float64)

    predictor = fed(Predict("taylor", order), [polynomial(t) for t in range(order + 1)], [float(t) for t in range(9)])
    assert torch.allclose(predictor.predict(order + 2.0), polynomial(order + 2.0), rtol=1e-13, atol=0)


def test_probe_gain_weighs_in_float64() -> None:
    older, newest = (torch.full((1, 1, 1), value, dtype=torch.float64) for value in (0.1, 0.2))
    found = build_predictor(Predict("probe_gain", clip=(0.0, 9.0)))
    for value, probe in ((older, 0.0), (newest, 0.3)):
        found.see(torch.full((1, 1, 1), probe, dtype=torch.float64))
        found.update(value, 0.0)
    found.see(torch.full((1, 1, 1), 0.4, dtype=torch.float64))
    assert float(found.predict(1.0)) == pytest.approx(0.1 + 0.1 * 4 / 3, rel=1e-14)


def test_a_debt_is_told_in_float64() -> None:
    found = build_predictor(Predict("copy", repay=1.0))
    value = [torch.full((1, 1, 1), 0.1 * t * t, dtype=torch.float64) for t in range(7)]
    for t in (0, 1, 2):
        found.update(value[t], float(t))
    found.predict(3.0)
    found.update(value[4], 4.0)
    owed = value[2] - value[3]
    assert torch.allclose(found.predict(5.0), value[4] - owed, rtol=1e-13, atol=0)


@methods
def test_a_clock_that_stands_still_takes_the_newer_anchor(predict: Predict) -> None:
    values = smooth(4, 1.0, torch.float32)
    again = fed(predict, values, [0.0, 1.0, 2.0, 2.0])
    assert again.predict(3.0).isfinite().all()
    assert torch.equal(again.tensors()[0], values[3])
