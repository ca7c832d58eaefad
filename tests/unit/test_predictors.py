"""Exactness is the test: constants for `copy`, polynomials of its order for `taylor`, affine sequences for each."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cachedsl.language.methods import METHODS
from cachedsl.language.parts import Predict
from cachedsl.predictors import Predictor, build_predictor

coefficients = st.lists(st.floats(-2, 2), min_size=1, max_size=6)


def polynomial(c: list[float], t: float) -> torch.Tensor:
    value = sum(a * t**i for i, a in enumerate(c))
    return torch.tensor([[[value, -value, 0.0]]], dtype=torch.float64).float()


def update(predictor: Predictor, value: torch.Tensor, position: float) -> None:
    predictor.see(probe(position))
    predictor.update(value, position)


def predict(predictor: Predictor, position: float) -> torch.Tensor:
    predictor.see(probe(position))
    return predictor.predict(position)


def probe(position: float) -> torch.Tensor:
    """What the front blocks add moves with the clock."""
    return torch.full((1, 2, 3), position)


def test_the_registry_is_what_policies_may_name() -> None:
    assert all(isinstance(build_predictor(Predict(name)), Predictor) for name in METHODS)


@given(
    st.floats(-1e3, 1e3),
    st.sampled_from(sorted(METHODS)),
    st.integers(1, 5),
    st.lists(st.integers(1, 4), max_size=5),
)
def test_constants_are_exact(value: float, method: str, order: int, gaps: list[int]) -> None:
    predictor = build_predictor(Predict(method, order))
    position = 0
    for gap in (0, *gaps):
        position += gap
        update(predictor, torch.full((1, 2, 3), value), float(position))
    assert torch.equal(predict(predictor, position + 3.0), torch.full((1, 2, 3), value))


@given(coefficients, st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3]))
def test_taylor_is_exact_on_polynomials_of_its_order(c: list[float], gap: int, ahead: int) -> None:
    order = len(c) - 1
    predictor = build_predictor(Predict("taylor", max(order, 1)))
    last = 0
    for i in range(order + 1):
        last = i * gap
        predictor.update(polynomial(c, last), float(last))
    expected = polynomial(c, last + ahead)
    scale = sum(abs(a) * (last + ahead) ** i for i, a in enumerate(c)) + 1
    assert torch.allclose(predictor.predict(float(last + ahead)), expected, atol=2e-4 * scale * (ahead + 1) ** order)


@given(st.integers(1, 4), st.floats(-5, 5), st.floats(-5, 5), st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_taylor_is_exact_on_affine_sequences_however_spaced(order: int, a: float, b: float, gaps: list[int]) -> None:
    predictor = build_predictor(Predict("taylor", order))
    position = 0
    predictor.update(polynomial([a, b], 0), 0.0)
    for gap in gaps:
        position += gap
        predictor.update(polynomial([a, b], position), float(position))
    assert torch.allclose(predictor.predict(position + 2.0), polynomial([a, b], position + 2), atol=1e-2)


def test_taylor_of_order_one_is_the_published_formula() -> None:
    predictor = build_predictor(Predict("taylor", 1))
    first, second = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    predictor.update(first, 3.0)
    assert torch.equal(predictor.predict(5.0), first)
    predictor.update(second, 5.0)
    assert torch.allclose(predictor.predict(8.0), second + 3 * (second - first) / 2, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_taylor_holds_no_more_than_order_plus_one_tensors(order: int) -> None:
    predictor = build_predictor(Predict("taylor", order))
    for i in range(9):
        predictor.update(torch.randn(1, 2, 3), float(i))
        assert len(predictor.tensors()) == min(i, order) + 1


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_result_has_the_anchors_dtype(method: str) -> None:
    predictor = build_predictor(Predict(method, 2))
    for i in range(3):
        update(predictor, torch.randn(1, 2, 3, dtype=torch.bfloat16), float(i))
    assert predict(predictor, 4.0).dtype is torch.bfloat16


@pytest.mark.parametrize("method", sorted(METHODS))
def test_time_may_run_backwards(method: str) -> None:
    """Timesteps and sigmas fall; a predictor sees only distances, so turning the axis round changes nothing."""
    forward, backward = build_predictor(Predict(method, 2)), build_predictor(Predict(method, 2))
    torch.manual_seed(0)
    for i in range(5):
        value = torch.randn(1, 4, 8) * 0.1 + i
        update(forward, value, float(i))
        update(backward, value, 100.0 - i)
    assert torch.allclose(predict(forward, 6.0), predict(backward, 94.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", sorted(METHODS))
@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(1, 4), st.integers(1, 4))
def test_none_is_worse_than_copy_on_an_affine_sequence(method: str, a: float, b: float, n: int, k: int) -> None:
    predictor = build_predictor(Predict(method, n))
    for i in range(6):
        update(predictor, polynomial([a, b], i), float(i))
    expected, last = polynomial([a, b], 5 + k), polynomial([a, b], 5)
    error = (predict(predictor, 5.0 + k) - expected).abs().max()
    assert float(error) <= float((last - expected).abs().max()) + 1e-3
