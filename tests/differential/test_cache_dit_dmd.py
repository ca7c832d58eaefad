"""What exactly sets Dynamic Mode Decomposition here apart from cache-dit 1.5.3's calibrator of that name.

`TheirDmd` is its rule written as a predictor of ours. With that in place of `DmdPredictor` whole runs agree, so the
predictor is all that differs; the other tests pin what each of its differences means.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from cachedsl import predictors
from cachedsl.language.parts import Predict
from cachedsl.predictors import Predictor, build_predictor
from tests.differential.cases import Case
from tests.differential.conftest import Reference
from tests.differential.own import run_own
from tests.differential.test_cache_dit import DMD, ONE, _assert_same

# No four evenly spaced anchors in a row: both sides go by their fallback at every reused step.
UNEVEN = "10110100110100110101"
FALLBACK = (
    Case(name="uneven-wan", family="wan", blocks=8, cfg="separate", dmd=6, mask=UNEVEN, otherwise="static", back=1),
    Case(name="uneven-cogvideox", family="cogvideox", blocks=8, dmd=6, mask=UNEVEN, otherwise="static"),
)


class TheirDmd(Predictor):
    """cache-dit's `DMDState`: A takes each result to the next; the fallback's slope skips an anchor."""

    def __init__(self, history: int) -> None:
        self._history = history
        self._anchors: list[tuple[float, torch.Tensor]] = []
        self._slope: torch.Tensor | None = None

    def update(self, value: torch.Tensor, position: float) -> None:
        self._slope = None
        if len(self._anchors) >= 2 and position > 2:  # their clock stands at -1 at the first computed step
            self._slope = (value - self._anchors[-2][1]) / (position - self._anchors[-1][0])
        self._anchors = [*self._anchors, (position, value)][-self._history :]

    def predict(self, position: float) -> torch.Tensor:
        last, newest = self._anchors[-1]
        gaps = [b - a for (a, _), (b, _) in pairwise(self._anchors)]
        even = sum(1 for _ in itertools.takewhile(lambda gap: gap == gaps[-1], reversed(gaps)))
        if even < 3:
            return newest if self._slope is None else newest + self._slope * (position - last)
        values = [value.reshape(len(value), -1) for _, value in self._anchors[-even - 1 :]]
        items = torch.stack(values, dim=-1).double()
        ahead = (position - last) / gaps[-1]
        result = torch.stack([self._advance(item, ahead) for item in items]).to(newest.dtype).reshape(newest.shape)
        return result if result.isfinite().all() else newest

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(value for _, value in self._anchors)

    @staticmethod
    def _advance(item: torch.Tensor, gaps: float) -> torch.Tensor:
        """Advance one item, `(features, anchors)`, by its modes, less those below 1e-4 of the largest."""
        before, after = item[:, :-1], item[:, 1:]
        left, singular, right = torch.linalg.svd(before, full_matrices=False)
        kept = max(int((singular > 1e-4 * singular[0]).sum()), 1)
        project = right[:kept].mT / (singular[:kept] + 1e-8)
        eigenvalues, vectors = torch.linalg.eig(left[:, :kept].mT @ after @ project)
        modes = (after @ project).to(vectors.dtype) @ vectors
        amplitudes = torch.linalg.lstsq(modes, item[:, -1:].to(vectors.dtype)).solution[:, 0]
        return (modes @ (eigenvalues**gaps * amplitudes)).real


@pytest.mark.parametrize("case", [*DMD, *FALLBACK], ids=lambda case: case.name)
def test_the_predictor_is_all_that_differs(case: Case, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    group = FALLBACK if case in FALLBACK else ONE
    theirs, own = reference(group)[case.name], run_own(case)
    for key in itertools.product(case.stacks, case.branches):
        assert own.reused(*key) == theirs.reused(*key)
    apart = [(a - b).abs().max() / b.abs().max() for a, b in zip(own.outputs, theirs.outputs, strict=True)]
    assert max(apart) > 1e-3
    monkeypatch.setattr(predictors, "_implementation", lambda _: lambda history, rank, ridge: TheirDmd(history))
    _assert_same(case, run_own(case), theirs)


_THEIR_STATES = """
import sys, torch
from cache_dit.caching.cache_contexts.calibrators.dmd import DMDState
found = {}
for name, (values, anchors) in torch.load(sys.argv[1], weights_only=True).items():
    state, found[name] = DMDState(history=6), {}
    for step, value in enumerate(values):
        state.mark_step_begin()
        state.update(value) if step in anchors else found[name].update({step: state.approximate()})
torch.save(found, sys.argv[2])
"""


def _affine() -> torch.Tensor:
    return 10.0 * torch.arange(7.0).reshape(7, 1, 1, 1)


def _growing() -> torch.Tensor:
    """Two items in float16: the first one's third feature leaves the format after the last anchor, nothing else does."""
    steps = torch.arange(8.0).reshape(8, 1, 1, 1)
    items = torch.tensor([[[1.0, 2.0, 300.0]], [[0.5, 1.0, 1.5]]])
    rates = torch.tensor([1.25, 1.1, 2.5]).expand(2, 1, 3).clone()
    rates[1] = 1.2
    return (items * rates**steps).half()


GIVEN = {
    "uneven": (_affine(), [0, 2, 3, 5]),
    "three": (_affine(), [0, 1, 2, 5]),
    "overflow": (_growing(), [0, 1, 2, 3, 4, 5]),
}


@pytest.fixture(scope="module")
def their_states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, torch.Tensor]]:
    """What their calibrator gives for the steps between and after the anchors of each of `GIVEN`."""
    folder: Path = tmp_path_factory.mktemp("dmd")
    torch.save(GIVEN, folder / "given.pt")
    script = [sys.executable, "-c", _THEIR_STATES, str(folder / "given.pt"), str(folder / "found.pt")]
    subprocess.run(script, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found: dict[str, dict[int, torch.Tensor]] = torch.load(folder / "found.pt", weights_only=True)
    return found


def _predictions(predictor: Predictor, name: str) -> dict[int, torch.Tensor]:
    values, anchors = GIVEN[name]
    found = {}
    for step, value in enumerate(values):
        if step in anchors:
            predictor.update(value, float(step))
        else:
            found[step] = predictor.predict(float(step))
    return found


def _numbers(predictions: dict[int, torch.Tensor]) -> dict[int, float]:
    return {step: value.item() for step, value in predictions.items()}


def test_their_fallback_takes_the_slope_over_two_gaps_and_divides_by_one(
    their_states: dict[str, dict[int, torch.Tensor]],
) -> None:
    """It is meant to be their Taylor, but compares with the anchor before the last: twice too steep on even gaps.

    Ours is Taylor of order 1, exact on the affine sequence given here.
    """
    assert _numbers(their_states["uneven"]) == {1: 0.0, 4: 60.0, 6: 65.0}
    assert _numbers(their_states["three"]) == pytest.approx({3: 40.0, 4: 60.0, 6: 50 + 40 / 3})
    assert _numbers(_predictions(build_predictor(Predict("dmd")), "uneven")) == {1: 0.0, 4: 40.0, 6: 60.0}
    assert _numbers(_predictions(build_predictor(Predict("dmd")), "three")) == {3: 30.0, 4: 40.0, 6: 60.0}


def test_an_overflow_stays_where_it_is_here(their_states: dict[str, dict[int, torch.Tensor]]) -> None:
    """There one value that is not finite makes all of the batch a copy; here it alone stays as it was."""
    values, anchors = GIVEN["overflow"]
    newest = values[anchors[-1]]
    for step, own in _predictions(build_predictor(Predict("dmd")), "overflow").items():
        assert values[step].isinf().nonzero().tolist() == [[0, 0, 2]]
        assert torch.equal(their_states["overflow"][step], newest)
        assert own.isfinite().all()
        assert (own == newest).nonzero().tolist() == [[0, 0, 2]]
        assert torch.allclose(own[1].float(), values[step][1].float(), rtol=2e-2)
