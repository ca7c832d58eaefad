"""Predictors: what stands in for a skipped span. One file each; this is their registry."""

from __future__ import annotations

from collections.abc import Callable

from cachedsl.policy.parts import Predict
from cachedsl.predictors.base import Predictor
from cachedsl.predictors.copy import CopyPredictor
from cachedsl.predictors.dmd import DmdPredictor
from cachedsl.predictors.foca import FocaPredictor
from cachedsl.predictors.hermite import HermitePredictor
from cachedsl.predictors.newton import NewtonPredictor
from cachedsl.predictors.probe_gain import ProbeGainPredictor
from cachedsl.predictors.repay import RepayingPredictor
from cachedsl.predictors.taylor import TaylorPredictor

PREDICTORS: dict[str, Callable[[Predict], Predictor]] = {
    "copy": lambda _: CopyPredictor(),
    "taylor": lambda predict: TaylorPredictor(predict.order, published=predict.form == "published"),
    "newton": lambda predict: NewtonPredictor(predict.order),
    "hermite": lambda predict: HermitePredictor(predict.order, predict.scale),
    "foca": lambda _: FocaPredictor(),
    "dmd": lambda predict: DmdPredictor(predict.history, predict.rank, predict.ridge),
    "probe_gain": lambda predict: ProbeGainPredictor(predict.clip),
}


def build_predictor(predict: Predict) -> Predictor:
    """Make a fresh predictor for one stream of one unit."""
    base = PREDICTORS[predict.method](predict)
    return RepayingPredictor(base, predict.repay) if predict.repay else base


__all__ = ["PREDICTORS", "CopyPredictor", "Predictor", "build_predictor"]
