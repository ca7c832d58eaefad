"""A block's modulated input is had in one way."""

from __future__ import annotations

from collections.abc import Sequence

from cachedsl.language.misfit import Misfit
from cachedsl.text.finding import Rule

RULE = Rule(
    "adapter",
    "adapter",
    "keys of an adapter do not go together",
    why="A block's modulated input is either what its norm returns, or one of the block's own arguments. If an "
    "adapter says both, or only half of one, nothing tells which is meant.",
    bad="family: mine\ntransformers:\n  MyModel:\n    cfg: fused\n    stacks:\n"
    "      blocks: {pattern: hidden_only, modulated_input: {module: norm1, argument: temb}}",
    good="family: mine\ntransformers:\n  MyModel:\n    cfg: fused\n    stacks:\n"
    "      blocks: {pattern: hidden_only, modulated_input: {argument: temb}}",
)
RULES = (RULE,)
WAYS = (("argument",), ("module", "arguments"), ("module", "arguments", "output"))


def one_way(given: Sequence[str]) -> Misfit | None:
    """Return what is wrong with the keys that are given of a modulated input, in their order; None where nothing is."""
    if tuple(given) in WAYS:
        return None
    expected = "`module` and `arguments`, or `argument` alone"
    message = f"takes {expected}; got {' and '.join(given) or 'nothing'}"
    return Misfit(expected, None, message=message, rule=RULE)
