"""`repay` in a policy that says it is for a multistep sampler."""

from __future__ import annotations

import re

from cachedsl.rules.asking import said
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "repay-multistep",
    "meaning",
    "`repay` in a policy that says it is for a multistep sampler",
    severity="warning",
    why="`repay` corrects what a sampler has added up. A multistep sampler (UniPC, DPM-Solver++, DEIS) also "
    "takes differences of the last outputs. The correction gets into these differences, and is an error "
    "there.",
    bad="description: For Wan with UniPC.\npredict: {method: foca, repay: 0.7}",
    good="description: For Wan with Euler.\npredict: {method: foca, repay: 0.7}",
    category="suspicious",
)


MULTISTEP = re.compile(r"(?<![a-z])(uni-?pc|dpm-?solver(\+\+)?|dpm\+\+|deis|i?pndm|plms|lms)(?![a-z])", re.IGNORECASE)
"""Multistep samplers, as diffusers and its users call them."""


def check(context: Meaning) -> Findings:
    policy = context.policy
    told = {"description": policy.description, "name": policy.name}
    where, found = next(((key, one) for key, text in told.items() if (one := MULTISTEP.search(text))), ("", None))
    for scope in context.scopes if found else ():
        if found and scope.meant.predict.repay and said(scope.tree, "predict") is not None:
            message = (
                f"predict.repay: the {where} says {found[0]}, a multistep sampler, which mixes repayments into "
                "its own differences"
            )
            hint = "leave `repay` out, or take a sampler such as Euler"
            yield RULE.finding(message, context.span(*scope.path, "predict", "repay"), hint)


CHECKS = (Check(RULE, check),)
