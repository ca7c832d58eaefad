"""DMD: exact on sums of exponentials, constants and affine sequences; Taylor until it may be fitted; always finite."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl.predictors.dmd import DmdPredictor
from cachedsl.predictors.taylor import TaylorPredictor

HISTORY, RANK, RIDGE = 6, 0, 1e-8

seeds = st.integers(0, 2**16)
aheads = st.sampled_from([0.25, 1 / 3, 0.5, 1.0, 2.0, 3.0, 5.0])
Sequence = Callable[[float], torch.Tensor]


def dmd(rank: int = RANK, ridge: float = RIDGE) -> DmdPredictor:
    return DmdPredictor(HISTORY, rank, ridge)


def fed(predictor: DmdPredictor, sequence: Sequence, count: int, gap: float = 1.0) -> float:
    for i in range(count):
        predictor.update(sequence(i * gap), i * gap)
    return (count - 1) * gap


def exponentials(seed: int, rates: list[float], pairs: list[tuple[float, float]], batch: int = 1) -> Sequence:
    """A constant, real exponentials and damped oscillations, each with a spatial pattern of its own, in float32."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(1 + len(rates) + 2 * len(pairs), batch, 6, 8, generator=generator, dtype=torch.float64)

    def sequence(t: float) -> torch.Tensor:
        weights = [1.0, *(rate**t for rate in rates)]
        for radius, angle in pairs:
            weights += [radius**t * math.cos(angle * t), radius**t * math.sin(angle * t)]
        return torch.einsum("m,mbtc->btc", torch.tensor(weights, dtype=torch.float64), patterns).float()

    return sequence


def affine(a: float, b: float, dtype: torch.dtype = torch.float32) -> Sequence:
    return lambda t: torch.tensor([[[a + b * t, -a - b * t, 0.0]]], dtype=torch.float64).to(dtype)


def relative_error(result: torch.Tensor, truth: torch.Tensor) -> float:
    return float((result - truth).double().norm() / truth.double().norm())


@given(seeds, st.sampled_from([[0.9], [0.9, 0.7], [1.1, 0.6], [0.95, 0.7, 0.4]]), st.sampled_from([1, 2, 5]), aheads)
def test_real_exponentials_are_exact(seed: int, rates: list[float], gap: int, ahead: float) -> None:
    in_gaps = exponentials(seed, rates, [])
    predictor = dmd()
    last = fed(predictor, lambda t: in_gaps(t / gap), max(4, len(rates) + 2), gap)
    assert relative_error(predictor.predict(last + ahead * gap), in_gaps(last / gap + ahead)) < 1e-4


def test_an_alternating_mode_is_exact_at_whole_gaps() -> None:
    sequence = exponentials(2, [-0.5, 0.8], [])
    predictor = dmd()
    last = fed(predictor, sequence, 4)
    assert relative_error(predictor.predict(last + 3), sequence(last + 3)) < 1e-4


@given(seeds, st.floats(0.8, 1.02), st.floats(0.2, 1.2), aheads)
def test_a_complex_pair_is_exact_at_fractions_too(seed: int, radius: float, angle: float, ahead: float) -> None:
    sequence = exponentials(seed, [], [(radius, angle)])
    predictor = dmd()
    last = fed(predictor, sequence, 4)
    assert relative_error(predictor.predict(last + ahead), sequence(last + ahead)) < 1e-3


@given(seeds, aheads)
def test_a_pair_and_two_real_modes_fill_the_history(seed: int, ahead: float) -> None:
    sequence = exponentials(seed, [0.9, 0.5], [(0.95, 0.7)])
    predictor = dmd()
    last = fed(predictor, sequence, HISTORY + 3)
    assert relative_error(predictor.predict(last + ahead), sequence(last + ahead)) < 2e-3


@given(st.floats(-1e3, 1e3), st.integers(1, 8), st.floats(0.1, 20))
def test_constants_are_exact(value: float, count: int, ahead: float) -> None:
    predictor = dmd()
    last = fed(predictor, lambda _: torch.full((2, 2, 3), value), count)
    assert torch.equal(predictor.predict(last + ahead), torch.full((2, 2, 3), value))


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(2, 8), st.integers(1, 3), aheads)
def test_affine_sequences_are_exact_and_no_worse_than_copied(
    a: float, b: float, count: int, gap: int, ahead: float
) -> None:
    predictor, sequence = dmd(), affine(a, b)
    last = fed(predictor, sequence, count, gap)
    truth = sequence(last + ahead)
    error = (predictor.predict(last + ahead) - truth).abs().max()
    assert error <= (sequence(last) - truth).abs().max() + 1e-3
    assert error <= 1e-3


@given(seeds, aheads)
def test_an_affine_sequence_with_patterns_of_its_own_is_exact(seed: int, ahead: float) -> None:
    offset, slope = torch.randn(2, 2, 6, 8, generator=torch.Generator().manual_seed(seed))
    predictor = dmd()
    last = fed(predictor, lambda t: offset + t * slope, 6)
    assert torch.allclose(predictor.predict(last + ahead), offset + (last + ahead) * slope, atol=1e-3)


@given(seeds, aheads)
def test_a_defective_operator_is_no_worse_than_copy(seed: int, ahead: float) -> None:
    patterns = torch.randn(3, 1, 6, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    predictor = dmd()

    def quadratic(t: float) -> torch.Tensor:
        return patterns[0] + t * patterns[1] + t * t * patterns[2]

    last = fed(predictor, quadratic, 6)
    truth = quadratic(last + ahead)
    assert (predictor.predict(last + ahead) - truth).norm() <= (quadratic(last) - truth).norm()


def test_an_exactly_defective_operator_is_followed_or_forecast_linearly() -> None:
    predictor = dmd()
    steps = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    anchors = torch.cat([torch.zeros(1, 2, dtype=torch.float64), steps.cumsum(0)])
    for i, anchor in enumerate(anchors):
        predictor.update(anchor.reshape(1, 1, 2), float(i))
    result = predictor.predict(5.0)
    assert result[0, 0, 0] == pytest.approx(5.0, abs=1e-4)
    assert 3.0 - 1e-4 <= float(result[0, 0, 1]) <= 10.0 + 1e-4


@given(st.lists(st.integers(1, 3), max_size=8), seeds)
def test_without_four_evenly_spaced_anchors_it_is_taylor(gaps: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    predictor, taylor = dmd(), TaylorPredictor(1)
    position = 0
    for gap in (0, *gaps):
        position += gap
        value = torch.randn(1, 2, 3)
        predictor.update(value, float(position))
        taylor.update(value, float(position))
    if len(gaps) < 3 or len(set(gaps[-3:])) > 1:
        assert torch.equal(predictor.predict(position + 2.0), taylor.predict(position + 2.0))


def test_anchors_before_an_uneven_gap_are_left_out() -> None:
    sequence = exponentials(3, [0.9, 0.6], [])
    whole, tail = dmd(), dmd()
    for position in (0.0, 1.0, 4.0, 6.0, 8.0, 10.0):
        whole.update(sequence(position), position)
        if position >= 4:
            tail.update(sequence(position), position)
    assert torch.equal(whole.predict(11.0), tail.predict(11.0))
    assert relative_error(whole.predict(11.0), sequence(11.0)) < 1e-4


def test_a_clock_of_floats_that_runs_down_counts_as_even() -> None:
    sequence = exponentials(4, [0.8, 0.5], [])
    predictor = dmd()
    for position in torch.linspace(1, 0, 30)[:5].tolist():
        predictor.update(sequence((1 - position) * 29), position)
    assert relative_error(predictor.predict(1 - 6 / 29), sequence(6.0)) < 1e-4


@given(seeds, st.integers(2, 4))
def test_items_of_a_batch_are_fitted_each_for_itself(seed: int, batch: int) -> None:
    rates = [[0.9], [0.5, 1.05], [0.7], [0.3, 0.95]]
    items = [exponentials(seed + i, rates[i], []) for i in range(batch)]
    together = dmd()
    fed(together, lambda t: torch.cat([item(t) for item in items]), 5)
    for i, item in enumerate(items):
        alone = dmd()
        fed(alone, item, 5)
        assert torch.allclose(together.predict(7.0)[i], alone.predict(7.0)[0], atol=1e-4)


def test_rank_leaves_the_weaker_modes_out() -> None:
    patterns = torch.eye(8, dtype=torch.float64)[:2].reshape(2, 1, 1, 8)
    predictors = [dmd(rank=1), dmd(rank=2)]

    def sequence(t: float) -> torch.Tensor:
        return 10 * 0.9**t * patterns[0] + 0.1 * 0.5**t * patterns[1]

    for predictor in predictors:
        fed(predictor, sequence, 5)
    first, both = (predictor.predict(6.0) - sequence(6.0) for predictor in predictors)
    assert both.abs().max() < 1e-6
    assert 1e-4 < first.abs().max() < 0.1


def test_a_heavy_ridge_holds_back_towards_copy() -> None:
    sequence = exponentials(5, [0.9], [])
    errors = []
    for ridge in (1e-8, 1.0, 1e3):
        predictor = dmd(ridge=ridge)
        last = fed(predictor, sequence, 5)
        errors.append(float((predictor.predict(last + 2) - sequence(last)).norm()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


@settings(max_examples=40)
@given(
    st.sampled_from([torch.bfloat16, torch.float16, torch.float32]),
    st.sampled_from(["zeros", "repeated", "alternating", "noise", "growing", "one hot"]),
    st.integers(4, 8),
    st.floats(0.1, 40),
)
def test_the_result_is_always_finite(dtype: torch.dtype, kind: str, count: int, ahead: float) -> None:
    noise = torch.randn(8, 2, 3, 4, generator=torch.Generator().manual_seed(count))
    kinds: dict[str, Callable[[int], torch.Tensor]] = {
        "zeros": lambda i: torch.zeros(2, 3, 4),
        "repeated": lambda i: noise[i // 2],
        "alternating": lambda i: noise[0] * (-1) ** i,
        "noise": lambda i: noise[i],
        "growing": lambda i: noise[0] * 4.0**i,
        "one hot": lambda i: torch.eye(8)[i % 8].repeat(2, 3, 1)[..., :4],
    }
    predictor = dmd()
    for i in range(count):
        predictor.update(kinds[kind](i).to(dtype), float(i))
    result = predictor.predict(count - 1 + ahead)
    assert result.isfinite().all()
    assert result.dtype is dtype


def test_bfloat16_follows_an_exponential_to_its_rounding() -> None:
    sequence = exponentials(6, [0.8], [])
    predictor = dmd()
    last = fed(predictor, lambda t: sequence(t).bfloat16(), 6)
    error = (predictor.predict(last + 2).float() - sequence(last + 2)).norm()
    assert error < 0.5 * (sequence(last) - sequence(last + 2)).norm()


def test_anchors_that_are_not_finite_raise_nothing() -> None:
    predictor = dmd()
    for i in range(5):
        value = torch.randn(2, 3, 4)
        value[0, 0, 0] = float("nan") if i == 2 else 1.0
        predictor.update(value, float(i))
    assert predictor.predict(6.0).isfinite().all()


def test_it_holds_the_newest_anchors_alone_and_changes_none() -> None:
    anchors = torch.randn(9, 2, 3, 4)
    copies = anchors.clone()
    predictor = dmd()
    for i, anchor in enumerate(anchors):
        predictor.update(anchor, float(i))
        first = predictor.predict(i + 2.0)
        assert torch.equal(predictor.predict(i + 2.0), first)
        assert first.shape == (2, 3, 4)
        assert len(predictor.tensors()) == min(i + 1, HISTORY)
    assert torch.equal(anchors, copies)
