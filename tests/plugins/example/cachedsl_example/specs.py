"""The declarations; nothing here imports torch."""

from __future__ import annotations

from cachedsl.language.kinds import Key, Number
from cachedsl.language.methods import SHARED, Method
from cachedsl.language.taps import COMPARED, Tap
from cachedsl.matching.adapter import Adapter, StackAdapter, TransformerAdapter
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

TOKEN_SPREAD = Tap(
    "token_spread",
    "the spread of the tokens that leave {front}, to the power {power:g}",
    source="front",
    meter="cachedsl_example.tensors:token_spread",
    reads=COMPARED,
    own={"power": Key(Number(above=0, most=8), "Of `token_spread`: what the spread is raised to.", default=1.0)},
    family="an example",
)
DAMPED = Method(
    "damped",
    "a step of the last difference, damped by {damping:g}",
    "cachedsl_example.tensors:DampedPredictor",
    made_with=("damping",),
    reads=SHARED,
    own={
        "damping": Key(Number(least=0, most=1), "Of `damped`: how much of the last difference is added.", default=0.5)
    },
    anchors=lambda predict: 2,
    formula="Y + damping · (Y − Y′)",
)
RULE = Rule(
    "example-description",
    "meaning",
    "a policy says nothing of what it is for",
    severity="warning",
    why="Its reader has to guess.",
    bad="version: 1",
    good="version: 1\ndescription: For FLUX.1-dev at 28 steps.",
)


def _check(context: Meaning) -> Findings:
    if not context.policy.description:
        yield RULE.finding("description: the policy has none", context.span("version"), "say what it is for")


NO_DESCRIPTION = Check(RULE, _check)
ADAPTER = Adapter(
    "example",
    {"ExampleTransformer": TransformerAdapter("fused", {"layers": StackAdapter("hidden_only", blocks=12)})},
)
