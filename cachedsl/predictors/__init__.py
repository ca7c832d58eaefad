"""Predictors: what stands in for a skipped span. One file each; `language/methods.py` names them."""

from __future__ import annotations

from functools import lru_cache
from pkgutil import resolve_name
from typing import Any

from cachedsl.language.methods import METHODS
from cachedsl.language.parts import Predict
from cachedsl.plan.rules import PredictPlan
from cachedsl.predictors.base import Predictor
from cachedsl.predictors.copy import CopyPredictor
from cachedsl.predictors.repay import RepayingPredictor


def build_predictor(predict: Predict | PredictPlan) -> Predictor:
    """Make a fresh predictor for one stream of one unit."""
    spec = METHODS[predict.method]
    base: Predictor = _implementation(predict.method)(*(predict.parameters[name] for name in spec.made_with))
    return RepayingPredictor(base, predict.repay) if predict.repay else base


@lru_cache(maxsize=64)
def _implementation(method: str) -> Any:
    return resolve_name(METHODS[method].predictor)


__all__ = ["CopyPredictor", "Predictor", "build_predictor"]
