"""Predictors: what stands in for a skipped span. One file each; this is their registry."""

from __future__ import annotations

from collections.abc import Callable

from cachedsl.policy.model import Predict
from cachedsl.predictors.base import Predictor
from cachedsl.predictors.copy import CopyPredictor
from cachedsl.predictors.taylor import TaylorPredictor

PREDICTORS: dict[str, Callable[[Predict], Predictor]] = {
    "copy": lambda _: CopyPredictor(),
    "taylor": lambda predict: TaylorPredictor(predict.order),
}


def build_predictor(predict: Predict) -> Predictor:
    """Make a fresh predictor for one stream of one unit."""
    return PREDICTORS[predict.method](predict)


__all__ = ["PREDICTORS", "Predictor", "build_predictor"]
