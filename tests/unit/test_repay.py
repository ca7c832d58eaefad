"""What the predictions of a gap were off by is paid back, and nothing else is changed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cachedsl.language.parts import Predict
from cachedsl.predictors import build_predictor


def parabola(c: list[float], t: float) -> torch.Tensor:
    return torch.tensor([[[c[0] + c[1] * t + c[2] * t * t, 1.0]]], dtype=torch.float64)


def drive(predict: Predict, computed: list[bool], c: list[float], clock: list[float]) -> list[torch.Tensor]:
    """Return what every step gives, computed or predicted, for a signal that is a parabola."""
    predictor = build_predictor(predict)
    given_ = []
    for t, fresh in zip(clock, computed, strict=True):
        value = parabola(c, t)
        if fresh:
            predictor.update(value, t)
            given_.append(value)
        else:
            given_.append(predictor.predict(t))
    return given_


def drift(given_: list[torch.Tensor], c: list[float], clock: list[float]) -> float:
    """How far a sampler that adds up what it is given ends from where it should: each step counts for its length."""
    lengths = [b - a for a, b in pairwise(clock)]
    off = (length * (value - parabola(c, t)) for length, value, t in zip(lengths, given_, clock, strict=False))
    return float(sum(off)[0, 0, 0].abs())  # type: ignore[index]


coefficients = st.lists(st.floats(-1, 1), min_size=3, max_size=3)


@given(coefficients, st.lists(st.integers(1, 4), min_size=1, max_size=5), st.sampled_from(["copy", "taylor", "foca"]))
def test_a_sampler_ends_where_it_should(c: list[float], gaps: list[int], method: Any) -> None:
    """Three computed steps make a parabola; each gap is paid back on the first reused step after it."""
    computed = [True, True, True]
    for gap in [*gaps, 1]:
        computed += [False] * gap + [True]
    last = len(computed) - 2  # the gap of one is not paid back any more
    clock = [float(i) for i in range(len(computed))]
    computed_only = drift(drive(Predict(method, 1, repay=1.0), computed, c, clock)[: last + 1], c, clock[: last + 2])
    owed = abs(float((_prediction(method, c, clock, computed, last) - parabola(c, last))[0, 0, 0]))
    assert computed_only == pytest.approx(owed, abs=1e-4 * (1 + last) ** 2)


def _prediction(method: Any, c: list[float], clock: list[float], computed: list[bool], at: int) -> torch.Tensor:
    """What the predictor itself says at a step, without any repayment."""
    return drive(Predict(method, 1), computed[: at + 1], c, clock[: at + 1])[-1]


@pytest.mark.parametrize("backwards", [False, True])
def test_uneven_clocks_and_falling_ones(backwards: bool) -> None:
    clock = [0.0, 1.0, 2.0, 3.0, 4.5, 5.0, 7.0, 8.0, 9.0, 10.0]
    if backwards:
        clock = [10.0 - t for t in clock]
    computed = [True, True, True, False, False, True, False, False, True, True]
    c = [0.3, -0.5, 0.2]
    # the payment goes by the length of the step before, so it is a little off where steps differ, and exact in time
    paid = drift(drive(Predict("copy", repay=1.0), computed, c, clock)[:7], c, clock[:8])
    plain = drift(drive(Predict("copy"), computed, c, clock)[:7], c, clock[:8])
    assert paid < plain


def test_a_share_is_paid_of_what_is_outstanding() -> None:
    computed = [True, True, True, False, False, True, False, False, False]
    clock = [float(i) for i in range(9)]
    c = [0.0, 0.0, 1.0]
    plain = drive(Predict("copy"), computed, c, clock)
    half = drive(Predict("copy", repay=0.5), computed, c, clock)
    debt = sum(plain[i] - parabola(c, i) for i in (3, 4))
    paid = [plain[i] - half[i] for i in (6, 7, 8)]
    for i, part in enumerate(paid):
        assert torch.allclose(part, debt * 0.5 ** (i + 1), atol=1e-5)


def test_the_predictor_never_sees_a_repayment() -> None:
    predictor = build_predictor(Predict("taylor", 1, repay=1.0))
    base = build_predictor(Predict("taylor", 1))
    for step in range(12):
        if step % 3 == 0:
            for one in (predictor, base):
                one.update(parabola([0, 1, 1], step), float(step))
        else:
            predictor.predict(float(step))
    assert torch.equal(predictor.base.predict(12.0), base.predict(12.0))  # type: ignore[attr-defined]


@given(st.floats(-1e3, 1e3), st.lists(st.integers(1, 3), max_size=4))
def test_constants_stay_what_they_are(value: float, gaps: list[int]) -> None:
    predictor = build_predictor(Predict("taylor", 2, repay=1.0))
    position, constant = 0, torch.full((1, 2, 3), value)
    for gap in (1, *gaps):
        predictor.update(constant, float(position))
        for ahead in range(1, gap + 1):
            assert torch.allclose(predictor.predict(float(position + ahead)), constant, rtol=1e-5)
        position += gap + 1


def test_a_copy_beyond_the_horizon_counts_in_the_debt() -> None:
    c, clock = [0.0, 0.0, 1.0], [float(i) for i in range(7)]
    predictor = build_predictor(Predict("copy", repay=1.0))
    for t in (0.0, 1.0, 2.0):
        predictor.update(parabola(c, t), t)
    for t in (3.0, 4.0):
        predictor.copied(parabola(c, 2.0), t)
    predictor.update(parabola(c, 5.0), 5.0)
    debt = sum(parabola(c, 2.0) - parabola(c, t) for t in (3.0, 4.0))
    assert torch.allclose(parabola(c, 5.0) - predictor.predict(clock[6]), debt, atol=1e-5)


@given(coefficients, st.lists(st.booleans(), min_size=1, max_size=8), st.sampled_from(["copy", "taylor", "foca"]))
def test_a_step_that_was_predicted_on_trial_and_computed_after_all_leaves_no_trace(
    c: list[float], fresh: list[bool], method: Any
) -> None:
    plain, tried = (build_predictor(Predict(method, 1, repay=0.5)) for _ in range(2))
    for t, computed in enumerate([True, True, True, *fresh, False]):
        if t:
            tried.predict(float(t))
        if computed:
            plain.update(parabola(c, t), float(t))
            tried.update(parabola(c, t), float(t))
        else:
            assert torch.equal(plain.predict(float(t)), tried.predict(float(t)))
