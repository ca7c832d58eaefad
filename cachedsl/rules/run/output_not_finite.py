"""What the model returns is finite."""

from __future__ import annotations

from cachedsl.rules.base import Check, Findings
from cachedsl.rules.run.facts import RunFacts, in_words
from cachedsl.text.finding import Rule, Span

RULE = Rule(
    "output-not-finite",
    "run",
    "the model returned values that are not finite",
    severity="warning",
    why="A latent with NaN cannot become an image. Without this warning, nobody knows until they look at the image.",
    bad="pipe.transformer.half()  # of a model whose activations are beyond float16",
    good="pipe.transformer.to(torch.bfloat16)",
)


def check(context: RunFacts) -> Findings:
    bad = {branch: steps for branch, steps in context.not_finite.items() if steps}
    if not bad:
        return
    step, branch = min((steps[0], branch) for branch, steps in bad.items())
    at = {s.branch: s for s in context.steps if s.step == step and s.outcome == "reused"}
    total = len({step for steps in bad.values() for step in steps})
    cause = (
        "that step was reused, so see whether it is finite with threshold 0 too"
        if branch in at
        else "that step was computed, so it is so without a cache too: weights that are not there, or a dtype that "
        "is too narrow"
    )
    yield RULE.finding(
        f"the model's output was not finite on {in_words(total)}, from step {step} ({branch}) on; {cause}",
        Span(context.policy.name),
    )


CHECKS = (Check(RULE, check),)
