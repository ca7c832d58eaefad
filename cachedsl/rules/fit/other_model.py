"""Coefficients that were calibrated on another model."""

from __future__ import annotations

import math

from cachedsl.language.published import COEFFICIENTS, FAMILIES, FLUX_RATIOS, MADE_FOR
from cachedsl.rules.base import Check, Findings, Fit
from cachedsl.text.finding import Rule

RULE = Rule(
    "other-model",
    "fit",
    "coefficients or ratios that were calibrated on another model",
    severity="warning",
    why="The polynomial estimates how much the output of one model moves. On another model the estimate is wrong, and "
    "the threshold means nothing. Models of one family are told apart if `--model` or the `plans` table names one with "
    "its own coefficients.",
    bad="signal: {tap: modulated_input, rescale: [498.65, …]}  # FLUX's, on Wan",
    good="signal: {tap: modulated_input, rescale: [-52186.24, …]}",
    category="suspicious",
)


def check(context: Fit) -> Findings:
    model = context.model
    for stack in context.shape.stacks if model is not None else ():
        signal = context.resolved(stack).signal
        if model is None or signal is None:
            continue
        if signal.ratios is not None and signal.ratios.values == FLUX_RATIOS and model.family != FAMILIES["flux"]:
            message = f"reuse.signal.ratios: these are the published ratios of flux, not of {model.name}"
            hint = f"calibrate them on the model: cachedsl calibrate {signal.tap}"
            yield RULE.finding(message, context.span(stack, "reuse", "signal", "ratios"), hint)
        if signal.rescale is None:
            continue
        of = {name for name, known in COEFFICIENTS.items() if _same(known, signal.rescale)}
        own = {name for name, models in MADE_FOR.items() if model.named in models}
        if of and (own.isdisjoint(of) if own else all(FAMILIES[name] != model.family for name in of)):
            name = model.named or model.name
            message = f"reuse.signal.rescale: these are the published coefficients of {min(of)}, not of {name}"
            hint = "take those of the model, or fit some"
            yield RULE.finding(message, context.span(stack, "reuse", "signal", "rescale"), hint)


def _same(known: tuple[float, ...], written: tuple[float, ...]) -> bool:
    """Compare to 3 significant digits, which is how shortened copies have them."""
    return len(known) == len(written) and all(
        math.isclose(a, b, rel_tol=5e-3, abs_tol=1e-3) for a, b in zip(known, written, strict=True)
    )


CHECKS = (Check(RULE, check),)
