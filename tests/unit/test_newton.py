"""Newton's divided differences: exact on polynomials of its order, however the anchors are spaced."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cachedsl.predictors.newton import NewtonPredictor
from cachedsl.predictors.taylor import TaylorPredictor

coefficients = st.lists(st.floats(-2, 2), min_size=1, max_size=6)
spacings = st.lists(st.integers(1, 4), min_size=1, max_size=7)
distances = st.sampled_from([0.5, 1.0, 2.0, 5.0])


def polynomial(c: list[float], t: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    value = sum(a * t**i for i, a in enumerate(c))
    return torch.tensor([[[value, -value, 0.0, c[0]]]], dtype=torch.float64).to(dtype)


def fed(order: int, c: list[float], gaps: list[int], dtype: torch.dtype = torch.float64) -> tuple[NewtonPredictor, int]:
    predictor, position = NewtonPredictor(order), 0
    predictor.update(polynomial(c, 0, dtype), 0.0)
    for gap in gaps:
        position += gap
        predictor.update(polynomial(c, position, dtype), float(position))
    return predictor, position


@given(coefficients, spacings, distances)
def test_polynomials_are_exact_on_any_anchors(c: list[float], gaps: list[int], ahead: float) -> None:
    gaps = (gaps * 6)[: max(len(gaps), len(c) - 1)]
    predictor, last = fed(max(len(c) - 1, 1), c, gaps)
    expected = polynomial(c, last + ahead)
    assert torch.allclose(predictor.predict(last + ahead), expected, rtol=1e-8, atol=1e-7)


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(1, 4), spacings, distances)
def test_affine_sequences_are_exact_in_float32_too(
    a: float, b: float, order: int, gaps: list[int], ahead: float
) -> None:
    predictor, last = fed(order, [a, b], gaps, torch.float32)
    expected, copied = polynomial([a, b], last + ahead), polynomial([a, b], last)
    error = (predictor.predict(last + ahead) - expected).abs().max()
    assert error <= (copied - expected).abs().max() + 1e-2
    assert error <= 1e-2


@given(st.floats(-1e3, 1e3), st.integers(1, 5), spacings, distances)
def test_constants_are_exact(value: float, order: int, gaps: list[int], ahead: float) -> None:
    predictor, last = fed(order, [value], gaps, torch.float32)
    assert torch.equal(predictor.predict(last + ahead), polynomial([value], 0, torch.float32))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.integers(0, 2**16))
def test_evenly_spaced_it_is_taylor(order: int, gap: int, ahead: int, seed: int) -> None:
    torch.manual_seed(seed)
    newton, taylor = NewtonPredictor(order), TaylorPredictor(order)
    for i in range(order + 1):
        value = torch.randn(2, 3, 4)
        newton.update(value, float(i * gap))
        taylor.update(value, float(i * gap))
    position = float(order * gap + ahead)
    scale = (1 + ahead / gap) ** order * 2**order
    assert torch.allclose(newton.predict(position), taylor.predict(position), atol=1e-5 * scale)


def test_it_is_the_divided_differences() -> None:
    values = torch.randn(3, 2, 4, 8)
    predictor = NewtonPredictor(2)
    for value, position in zip(values, (0.0, 1.0, 4.0), strict=True):
        predictor.update(value, position)
    oldest, middle, newest = values
    first, before = (newest - middle) / 3, (middle - oldest) / 1
    expected = newest + 2 * first + 2 * 5 * (first - before) / 4
    assert torch.allclose(predictor.predict(6.0), expected, atol=1e-5)


@given(st.integers(1, 4), spacings)
def test_it_passes_through_its_anchors(order: int, gaps: list[int]) -> None:
    predictor, position = NewtonPredictor(order), 0.0
    seen = []
    for gap in gaps:
        position += gap
        seen.append((torch.randn(1, 2, 3), position))
        predictor.update(*seen[-1])
    for value, anchored in seen[-order - 1 :]:
        assert torch.allclose(predictor.predict(anchored), value, atol=1e-5)


def test_with_one_anchor_it_copies_and_with_few_it_takes_the_order_they_allow() -> None:
    predictor = NewtonPredictor(3)
    first, second = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    predictor.update(first, 3.0)
    assert torch.equal(predictor.predict(9.0), first)
    predictor.update(second, 5.0)
    assert torch.allclose(predictor.predict(8.0), second + 3 * (second - first) / 2, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_it_holds_the_newest_anchors_alone(order: int) -> None:
    predictor = NewtonPredictor(order)
    assert predictor.tensors() == ()
    anchors = [torch.randn(1, 2, 3) for _ in range(9)]
    for i, anchor in enumerate(anchors):
        predictor.update(anchor, float(i))
        assert len(predictor.tensors()) == min(i, order) + 1
    assert {id(tensor) for tensor in predictor.tensors()} == {id(anchor) for anchor in anchors[-order - 1 :]}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_anchors_stay_and_the_result_has_their_shape_and_dtype(dtype: torch.dtype) -> None:
    anchors = [torch.randn(2, 3, 4).to(dtype) for _ in range(4)]
    copies = [anchor.clone() for anchor in anchors]
    predictor = NewtonPredictor(3)
    for i, anchor in enumerate(anchors):
        predictor.update(anchor, float(i))
    result = predictor.predict(5.0)
    assert result.dtype is dtype
    assert result.shape == (2, 3, 4)
    assert torch.equal(predictor.predict(5.0), result)
    assert all(torch.equal(a, b) for a, b in zip(anchors, copies, strict=True))
