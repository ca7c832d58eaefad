"""FoCa: the paper's equations where gaps are even, cache-dit's where it is right, exact on affine sequences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cachedsl.predictors.foca import FocaPredictor
from cachedsl.predictors.taylor import TaylorPredictor

numbers = st.floats(-5, 5)
spacings = st.lists(st.integers(1, 5), min_size=1, max_size=6)
distances = st.floats(0.25, 20)


def polynomial(c: list[float], t: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    value = sum(a * t**i for i, a in enumerate(c))
    return torch.tensor([[[value, -value, 0.0]]], dtype=torch.float64).to(dtype)


def fed(c: list[float], gaps: list[int], dtype: torch.dtype = torch.float64) -> tuple[FocaPredictor, int]:
    predictor, position = FocaPredictor(), 0
    predictor.update(polynomial(c, 0, dtype), 0.0)
    for gap in gaps:
        position += gap
        predictor.update(polynomial(c, position, dtype), float(position))
    return predictor, position


@pytest.fixture(scope="module")
def reference() -> Any:
    """cache-dit's state of one stream, which takes every gap as 1."""
    return pytest.importorskip("cache_dit.caching.cache_contexts.calibrators.foca").FoCaState


@given(st.floats(-1e3, 1e3), spacings, distances)
def test_constants_are_exact(value: float, gaps: list[int], ahead: float) -> None:
    predictor, last = fed([value], gaps, torch.float32)
    assert torch.equal(predictor.predict(last + ahead), polynomial([value], 0, torch.float32))


@given(numbers, numbers, spacings, distances)
def test_affine_sequences_are_exact_however_spaced(a: float, b: float, gaps: list[int], ahead: float) -> None:
    predictor, last = fed([a, b], gaps)
    assert torch.allclose(predictor.predict(last + ahead), polynomial([a, b], last + ahead), rtol=1e-9, atol=1e-9)


@given(numbers, numbers, spacings, distances)
def test_affine_sequences_in_float32_are_no_worse_than_copied(
    a: float, b: float, gaps: list[int], ahead: float
) -> None:
    predictor, last = fed([a, b], gaps, torch.float32)
    truth = polynomial([a, b], last + ahead)
    error = (predictor.predict(last + ahead) - truth).abs().max()
    assert error <= (polynomial([a, b], last) - truth).abs().max() + 1e-3


@given(numbers, numbers, st.floats(-2, 2), spacings, distances)
def test_quadratics_are_no_worse_than_a_linear_forecast(
    a: float, b: float, c: float, gaps: list[int], ahead: float
) -> None:
    predictor, last = fed([a, b, c], gaps)
    linear = (
        polynomial([a, b, c], last)
        + ahead * (polynomial([a, b, c], last) - polynomial([a, b, c], last - gaps[-1])) / gaps[-1]
    )
    truth = polynomial([a, b, c], last + ahead)
    error = (predictor.predict(last + ahead) - truth).abs().max()
    assert error <= (linear - truth).abs().max() * (1 + 1e-9) + 1e-9


def test_one_gap_ahead_it_is_the_papers_equations() -> None:
    oldest, middle, newest = torch.randn(3, 1, 4, 8, dtype=torch.float64)
    predictor = FocaPredictor()
    for value, position in ((oldest, 1.0), (middle, 3.0), (newest, 5.0)):
        predictor.update(value, position)
    slope = (3 * newest - 4 * middle + oldest) / (2 * 2)
    forecast = 4 / 3 * newest - 1 / 3 * middle + 2 * 2 / 3 * slope
    expected = newest + 2 / 2 * (slope + (forecast - newest) / 2)
    assert torch.allclose(predictor.predict(7.0), expected, rtol=1e-12, atol=1e-12)


def test_close_to_the_anchor_its_slope_is_of_second_order() -> None:
    predictor, last = fed([1.0, -2.0, 0.5], [3, 1, 4])
    ahead = 1e-4
    measured = (predictor.predict(last + ahead) - polynomial([1.0, -2.0, 0.5], last)) / ahead
    assert torch.allclose(measured[0, 0, 0], torch.tensor(-2.0 + last, dtype=torch.float64), atol=1e-3)


@given(st.integers(1, 3), st.integers(0, 2**16))
def test_two_anchors_at_gap_one_are_cache_dits(reference: Any, ahead: int, seed: int) -> None:
    torch.manual_seed(seed)
    state, predictor = reference(), FocaPredictor()
    for position in range(2):
        value = torch.randn(1, 4, 8)
        state.mark_step_begin()
        state.update(value)
        predictor.update(value, float(position))
    for _ in range(ahead):
        state.mark_step_begin()
        theirs = state.approximate()
    assert torch.allclose(predictor.predict(1.0 + ahead), theirs, atol=1e-5)


@given(st.integers(1, 3), st.integers(2, 6), numbers, numbers)
def test_affine_sequences_at_gap_one_are_cache_dits(reference: Any, ahead: int, count: int, a: float, b: float) -> None:
    state = reference()
    predictor, last = fed([a, b], [1] * (count - 1), torch.float32)
    for position in range(count):
        state.mark_step_begin()
        state.update(polynomial([a, b], position, torch.float32))
    for _ in range(ahead):
        state.mark_step_begin()
        theirs = state.approximate()
    assert torch.allclose(predictor.predict(float(last + ahead)), theirs, atol=1e-4)


@given(st.integers(1, 3), st.integers(0, 2**16))
def test_the_heun_step_is_cache_dits_given_the_same_two_slopes(reference: Any, ahead: int, seed: int) -> None:
    torch.manual_seed(seed)
    oldest, middle, newest = torch.randn(3, 1, 4, 8, dtype=torch.float64)
    predictor = FocaPredictor()
    for i, value in enumerate((oldest, middle, newest)):
        predictor.update(value, float(i))
    slope = (3 * newest - 4 * middle + oldest) / 2
    w = float(ahead)
    forecast = ((1 + w) ** 2 * newest - w**2 * middle + w * (1 + w) * slope) / (1 + 2 * w)
    state = reference()
    state.last_full_step, state.current_step = 2, 2 + ahead
    state.F_full, state.F_full_prev = newest, newest - slope
    state.F_k, state.F_km1 = newest + (forecast - newest) / ahead, newest
    assert torch.allclose(predictor.predict(2.0 + ahead), state.approximate(), rtol=1e-12, atol=1e-12)


def test_with_one_anchor_it_copies_and_with_two_it_is_linear() -> None:
    predictor, taylor = FocaPredictor(), TaylorPredictor(1)
    first, second = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    for value, position in ((first, 3.0), (second, 5.0)):
        predictor.update(value, position)
        taylor.update(value, position)
        assert torch.allclose(predictor.predict(9.0), taylor.predict(9.0), atol=1e-5)
    assert torch.equal(fed([2.0], [])[0].predict(4.0), polynomial([2.0], 0))


def test_predicting_changes_nothing() -> None:
    predictor, last = fed([1.0, 2.0, -0.5], [2, 3, 1])
    far = predictor.predict(last + 5.0)
    predictor.predict(last + 1.0)
    assert torch.equal(predictor.predict(last + 5.0), far)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_anchors_stay_and_the_result_has_their_shape_and_dtype(dtype: torch.dtype) -> None:
    anchors = torch.randn(5, 2, 3, 4).to(dtype)
    copies = anchors.clone()
    predictor = FocaPredictor()
    for i, anchor in enumerate(anchors):
        predictor.update(anchor, float(i))
        assert len(predictor.tensors()) == min(i + 1, 3)
    result = predictor.predict(6.0)
    assert result.dtype is dtype
    assert result.shape == (2, 3, 4)
    assert torch.equal(anchors, copies)
