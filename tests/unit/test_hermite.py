"""HiCache's Hermite basis: the published sum, exact on constants, never worse than `copy` on affine sequences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import hermite, hermite_e

from cachedsl.predictors.hermite import HermitePredictor
from cachedsl.predictors.taylor import TaylorPredictor

orders = st.integers(1, 4)
scales = st.floats(0.05, 1.0)
spacings = st.lists(st.integers(1, 5), min_size=1, max_size=6)
distances = st.floats(0.5, 20)


def affine(a: float, b: float, t: float) -> torch.Tensor:
    return torch.tensor([[[a + b * t, -a - b * t, 0.0, a, b * t]]], dtype=torch.float64)


def fed(order: int, scale: float, values: torch.Tensor, gap: float = 1.0) -> HermitePredictor:
    predictor = HermitePredictor(order, scale)
    for i, value in enumerate(values):
        predictor.update(value, i * gap)
    return predictor


def backward_differences(values: torch.Tensor, gap: float) -> list[torch.Tensor]:
    differences = []
    while len(values) > 1:
        values = values.diff(dim=0) / gap
        differences.append(values[-1])
    return differences


def published(values: torch.Tensor, gap: float, scale: float, distance: float) -> torch.Tensor:
    """HiCache's sum, with numpy's Hermite polynomials."""
    result = values[-1].clone()
    for j, difference in enumerate(backward_differences(values, gap), start=1):
        basis = scale**j * hermite.hermval(scale * distance, [0] * j + [1])
        result += basis / math.factorial(j) * difference
    return result


@given(orders, scales, st.sampled_from([1.0, 2.0, 3.0]), distances, st.integers(0, 2**16))
def test_it_is_the_published_sum(order: int, scale: float, gap: float, distance: float, seed: int) -> None:
    torch.manual_seed(seed)
    values = torch.randn(order + 1, 2, 3, 4, dtype=torch.float64)
    result = fed(order, scale, values, gap).predict(order * gap + distance)
    assert torch.allclose(result, published(values, gap, scale, distance), rtol=1e-9, atol=1e-9)


@given(orders, distances)
def test_at_one_over_root_two_it_is_the_probabilists_basis(order: int, distance: float) -> None:
    values = torch.randn(order + 1, 1, 2, 3, dtype=torch.float64)
    expected = values[-1].clone()
    for j, difference in enumerate(backward_differences(values, 1.0), start=1):
        expected += hermite_e.hermeval(distance, [0] * j + [1]) / math.factorial(j) * difference
    result = fed(order, math.sqrt(0.5), values).predict(order + distance)
    assert torch.allclose(result, expected, rtol=1e-9, atol=1e-9)


def test_there_order_one_is_taylor() -> None:
    values = torch.randn(2, 1, 4, 8)
    taylor = TaylorPredictor(1)
    for i, value in enumerate(values):
        taylor.update(value, i * 2.0)
    assert torch.allclose(fed(1, math.sqrt(0.5), values, 2.0).predict(7.0), taylor.predict(7.0), atol=1e-5)


@given(st.floats(-1e3, 1e3), orders, scales, spacings, distances)
def test_constants_are_exact(value: float, order: int, scale: float, gaps: list[int], distance: float) -> None:
    predictor, position = HermitePredictor(order, scale), 0
    for gap in (0, *gaps):
        position += gap
        predictor.update(torch.full((1, 2, 3), value), float(position))
    assert torch.equal(predictor.predict(position + distance), torch.full((1, 2, 3), value))


@given(st.floats(-5, 5), st.floats(-5, 5), orders, scales, spacings, distances)
def test_affine_sequences_are_forecast_at_twice_the_square_of_scale_and_no_worse_than_copied(
    a: float, b: float, order: int, scale: float, gaps: list[int], distance: float
) -> None:
    predictor, position = HermitePredictor(order, scale), 0
    predictor.update(affine(a, b, 0), 0.0)
    for gap in gaps:
        position += gap
        predictor.update(affine(a, b, position), float(position))
    result, copied = predictor.predict(position + distance), affine(a, b, position)
    slope = affine(0, b, 1) * torch.tensor([1.0, 1, 1, 0, 1], dtype=torch.float64)
    assert torch.allclose(result, copied + 2 * scale**2 * distance * slope, rtol=1e-6, atol=1e-6)
    truth = affine(a, b, position + distance)
    assert ((result - truth).abs() <= (copied - truth).abs() + 1e-6).all()


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("distance", [1.0, 2.0, 5.0, 10.0])
def test_the_default_scale_is_no_worse_than_copy_on_affine_sequences_in_float32(order: int, distance: float) -> None:
    values = torch.stack([affine(2.0, -0.7, i) for i in range(order + 1)]).float()
    truth = affine(2.0, -0.7, order + distance)
    error = (fed(order, 0.5, values).predict(order + distance) - truth).abs()
    assert (error <= (values[-1] - truth).abs() + 1e-4).all()
    # Halfway between `copy` and the truth.
    assert error.max() == pytest.approx(0.35 * distance, rel=1e-2)


def test_a_contraction_towards_zero_is_copy() -> None:
    values = torch.randn(4, 1, 4, 8)
    assert torch.allclose(fed(3, 1e-4, values).predict(5.0), values[-1], atol=1e-5)


def test_with_one_anchor_it_copies() -> None:
    value = torch.randn(1, 4, 8)
    assert torch.equal(fed(3, 0.5, value[None]).predict(9.0), value)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_it_holds_no_more_than_order_plus_one_tensors(order: int) -> None:
    predictor = HermitePredictor(order, 0.5)
    for i in range(8):
        predictor.update(torch.randn(1, 2, 3), float(i))
        assert len(predictor.tensors()) == min(i, order) + 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_anchors_stay_and_the_result_has_their_shape_and_dtype(dtype: torch.dtype) -> None:
    anchors = torch.randn(4, 2, 3, 4).to(dtype)
    copies = anchors.clone()
    predictor = fed(3, 0.5, anchors)
    result = predictor.predict(5.0)
    assert result.dtype is dtype
    assert result.shape == (2, 3, 4)
    assert torch.equal(predictor.predict(5.0), result)
    assert torch.equal(anchors, copies)
