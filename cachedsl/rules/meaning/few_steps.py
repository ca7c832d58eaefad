"""A warmup as long as the run of the few-step model that the policy is for."""

from __future__ import annotations

import re

from cachedsl.language.policy import StackPolicy
from cachedsl.language.published import FEW_STEPS
from cachedsl.rules.base import Check, Findings, Fit, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "few-steps",
    "meaning",
    "a warmup as long as the run of the few-step model that the policy is for",
    severity="warning",
    why="FLUX.1-schnell runs 4 steps and Z-Image-Turbo 9, whereas the default warmup of 8 was chosen for 28 steps and "
    "more. The whole run is warmup then, and nothing gets faster. The name, the description, `--model` or the `plans` "
    "table says what model it is. With a step count, `no-step-left` and `long-warmup` say it exactly, and "
    "this rule says nothing.",
    bad="description: For FLUX.1-schnell.\nwarmup: 8",
    good="description: For FLUX.1-schnell.\nwarmup: 1",
    category="performance",
)


HINT = "a shorter warmup, or a share such as `warmup: 20%`"


def few_step_model(text: str) -> tuple[str, int] | None:
    """Return the word in `text` that is of a few-step model, and how many steps such a model runs at most."""
    for word, steps in FEW_STEPS.items():
        found = re.search(rf"(?<![a-z]){word}(?![a-z])", text, re.IGNORECASE)
        if found is not None:
            return found[0], steps
    return None


def check(context: Meaning) -> Findings:
    policy = context.policy
    if context.counts:
        return
    for key, text in (("description", policy.description), ("name", policy.name)):
        found = few_step_model(text)
        if found is None:
            continue
        for scope in context.scopes:
            if scope.path and "warmup" not in scope.tree:
                continue
            warmup = _whole_run(scope.meant, found[1])
            if warmup is not None:
                message = (
                    f"warmup: {warmup} steps, and its {key} says {found[0]}, a model of at most {found[1]} "
                    "steps, so that none is left to reuse"
                )
                yield RULE.finding(message, context.span(*scope.path, "warmup"), HINT)
        return


def check_fit(context: Fit) -> Findings:
    found = None if context.model is None or context.counts else few_step_model(context.model.named)
    if context.model is None or found is None or few_step_model(f"{context.policy.description} {context.policy.name}"):
        return
    for stack in context.shape.stacks:
        warmup = _whole_run(context.resolved(stack), found[1])
        if warmup is not None:
            message = (
                f"warmup: {warmup} steps, and {context.model.named} runs at most {found[1]}, so that none is left "
                "to reuse"
            )
            yield RULE.finding(message, context.span(stack, "warmup"), HINT)


def _whole_run(meant: StackPolicy, steps: int) -> int | None:
    """Return the warmup where it is as long as a run of `steps`, and no mask cuts it short."""
    warmup = meant.warmup
    if isinstance(warmup.steps, int) and warmup.steps >= steps and warmup.interval == 1 and meant.steps is None:
        return warmup.steps
    return None


CHECKS = (Check(RULE, check), Check(RULE, check_fit, "fit"))
