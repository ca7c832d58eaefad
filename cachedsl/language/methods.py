"""How a reused result is approximated: one spec for each predictor, from which everything else about it is taken.

A new method is one entry here, and the predictor that `predictor` names. Another package offers a `Method` under the
entry point group `cachedsl.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from cachedsl.language.kinds import Key
from cachedsl.language.plugins import Registry

SHARED = ("target", "streams", "clock", "repay", "horizon")
"""What every method reads that extrapolates over a clock."""

Count = Callable[[Any], int]


@frozen
class Method:
    """One method.

    Attributes:
        name: as policies spell it.
        words: what it extrapolates by, parameters by their names; empty where it copies.
        predictor: `module:name` of its class, made with the parameters of `made_with` in their order.
        made_with: parameters of `predict`, and of `own`, that the class takes.
        reads: the parameters of `predict` that it reads.
        own: parameters that no other method has, by name; for methods of other packages.
        anchors: tensors of a stream's size that it holds once it has seen enough computed steps.
        from_steps: how many computed steps it goes by, for `explain`; by default as many as `anchors`.
        repay_anchors: computed results that `repay` holds beside those, for a parabola through three.
        probes: tensors of the front blocks' movement that it holds; none where it does not go by it.
        idea: what it does, in a sentence or two, and its source; for the list of docs/language.md.
        formula: what it returns k steps after the last computed one, for the table of docs/language.md.
        exact_on: the sequences that it continues exactly.
        needs: how many computed steps it has to have seen to be what it is called, and not something simpler; by
            default as many as `anchors`.
        letter: what compact notation calls it, followed by its order; none where it cannot say it.
    """

    name: str
    words: str
    predictor: str
    made_with: tuple[str, ...] = ()
    reads: tuple[str, ...] = SHARED
    own: Mapping[str, Key] = field(factory=dict, hash=False)
    anchors: Count = lambda predict: 1
    repay_anchors: Count = lambda predict: 2
    probes: int = 0
    idea: str = ""
    formula: str = ""
    exact_on: str = "constants"
    needs: Count = field(default=lambda predict: 0)
    letter: str = ""

    @property
    def forecasts(self) -> bool:
        """Whether it goes on from what it saw, instead of copying it."""
        return bool(self.words)

    def fed_by(self, predict: Any) -> int:
        """Return how many computed steps it has to have seen to be what it is called."""
        return self.needs(predict) or self.anchors(predict)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Every parameter that it reads."""
        return (*self.reads, *self.own)


def _polynomial(predict: Any) -> int:
    return int(predict.order) + 1


BUNDLED = (
    Method(
        "copy",
        "",
        "cachedsl.predictors.copy:CopyPredictor",
        reads=("target", "repay"),
        idea="The skipped blocks add what they added on the last computed step.",
        formula="the residual of that step",
    ),
    Method(
        "taylor",
        "Taylor's formula of order {order}",
        "cachedsl.predictors.taylor:taylor",
        made_with=("order", "form"),
        reads=("order", "form", *SHARED),
        anchors=_polynomial,
        idea="TaylorSeer (arXiv 2503.06923): differences between the last computed steps stand for derivatives, and "
        "Taylor's formula goes on from them.",
        formula="Σ D_j · k (k + g) … (k + (j−1) g) / j!, with D_{j+1} = (D_j − D_j′) / g and g the gap between the "
        "last two computed steps",
        exact_on="polynomials of degree `order` on evenly spaced steps, affine sequences on any",
        letter="T",
    ),
    Method(
        "newton",
        "Newton's divided differences of order {order}",
        "cachedsl.predictors.newton:NewtonPredictor",
        made_with=("order",),
        reads=("order", *SHARED),
        anchors=_polynomial,
        repay_anchors=lambda predict: max(2 - int(predict.order), 0),
        idea="The polynomial through the last computed steps, at the distances that they really have.",
        formula="the value of that polynomial, by Newton's divided differences",
        exact_on="polynomials of degree `order` on any steps",
    ),
    Method(
        "hermite",
        "a Hermite basis of order {order}",
        "cachedsl.predictors.hermite:HermitePredictor",
        made_with=("order", "scale"),
        reads=("order", "scale", *SHARED),
        anchors=_polynomial,
        idea="HiCache (arXiv 2508.16984): the differences of `taylor`, weighed with contracted Hermite polynomials. "
        "At order 1 and the default `scale` it goes half as far as `taylor`.",
        formula="Σ scale^j H_j(scale · k) D_j / j!, with H_j the Hermite polynomials",
    ),
    Method(
        "foca",
        "FoCa's predictor and corrector",
        "cachedsl.predictors.foca:FocaPredictor",
        anchors=lambda predict: 3,
        repay_anchors=lambda predict: 0,
        idea="FoCa (arXiv 2508.16211): what the blocks add is taken for the solution of a differential equation. It "
        "is forecast in one step, and the forecast is corrected by the slope at its far end.",
        formula="a forecast by BDF2 and a correction by Heun's rule, with the gaps as they are",
        exact_on="affine sequences on any steps",
    ),
    Method(
        "dmd",
        "Dynamic Mode Decomposition",
        "cachedsl.predictors.dmd:DmdPredictor",
        made_with=("history", "rank", "ridge"),
        reads=("history", "rank", "ridge", *SHARED),
        anchors=lambda predict: int(predict.history),
        repay_anchors=lambda predict: 0,
        needs=lambda predict: 4,
        idea="Dynamic Mode Decomposition: the linear map that takes each computed step to the next is fitted, and "
        "applied further.",
        formula="that map applied k times, fitted for each item of the batch; `taylor` of order 1 until there are 4 "
        "evenly spaced computed steps",
        exact_on="sums of exponentials with independent patterns, affine sequences",
    ),
    Method(
        "probe_gain",
        "the front blocks' own movement, with a gain from {clip[0]:g} to {clip[1]:g}",
        "cachedsl.predictors.probe_gain:ProbeGainPredictor",
        made_with=("clip",),
        reads=("clip", "target", "streams", "repay", "horizon"),
        anchors=lambda predict: 2,
        repay_anchors=lambda predict: 1,
        probes=2,
        idea="DiCache (arXiv 2508.17356): the front blocks run on reused steps too. How far they have moved says how "
        "far to go on from the last two computed results.",
        formula="R₂ + γ (R₁ − R₂), with R₁ the last computed result and R₂ the one before. γ, kept within `clip`, is "
        "how far the front blocks are from where they were at R₂, relative to how far they were at R₁",
    ),
)

METHODS: Registry[Method] = Registry("cachedsl.methods", Method, BUNDLED)
"""Every method by name: those above, and those of other packages."""

DEFAULT = "copy"
