"""How much memory a plan's features take: counted from shapes, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from attrs import field, frozen

from cachedsl.machine.plan import Plan, StackPlan
from cachedsl.policy.parts import Predict
from cachedsl.policy.signal import Signal

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

ANCHORS: dict[str, Callable[[Predict], int]] = {
    "copy": lambda _: 1,
    "taylor": lambda predict: predict.order + 1,
    "newton": lambda predict: predict.order + 1,
    "hermite": lambda predict: predict.order + 1,
    "foca": lambda _: 3,
    "dmd": lambda predict: predict.history,
    "probe_gain": lambda _: 2,
}
"""Tensors of a stream's size that a predictor holds once it has seen enough computed steps."""

_REPAY_ANCHORS: dict[str, Callable[[Predict], int]] = {
    "copy": lambda _: 2,
    "taylor": lambda _: 2,
    "newton": lambda predict: max(2 - predict.order, 0),
    "hermite": lambda _: 2,
    "foca": lambda _: 0,
    "dmd": lambda _: 0,
    "probe_gain": lambda _: 1,
}
"""Computed results that `repay` holds beside those of the predictor, for a parabola through three."""


@frozen
class StackMemory:
    """What one stack holds in one CFG branch, in bytes: for prediction, and for its signal."""

    stack: str
    features: int
    signal: int

    @property
    def total(self) -> int:
        return self.features + self.signal


@frozen
class Memory:
    """What a run holds at most, in bytes, all CFG branches together."""

    stacks: tuple[StackMemory, ...] = field(converter=tuple[StackMemory, ...])
    branches: int

    @property
    def total(self) -> int:
        return self.branches * sum(stack.total for stack in self.stacks)


def memory(
    plan: Plan, shapes: Shapes | Mapping[str, Shapes], *, element_size: int = 2, branches: int | None = None
) -> Memory:
    """Count what `plan` holds once every predictor has all the anchors that it uses.

    Args:
        plan: the plan.
        shapes: of the streams that the blocks return, `hidden` and, where they do, `encoder`, each `(batch, tokens,
            channels)`; of a signal that goes by the model's own input, `latent`, `(batch, channels, …)` or, of tokens,
            `(batch, tokens, channels)`. One such mapping for all stacks, or one for each by its qualified name.
        element_size: bytes of an element, 2 for bfloat16.
        branches: transformer calls a step; by default 2 where the plan says `cfg: separate`, else 1.

    Raises:
        KeyError: a shape is missing; it says which.
    """
    separate = 2 if plan.cfg.mode == "separate" else 1
    stacks = [_stack(stack, _shapes_of(stack, shapes), element_size) for stack in plan.stacks]
    return Memory(stacks, separate if branches is None else branches)


def _shapes_of(stack: StackPlan, shapes: Shapes | Mapping[str, Shapes]) -> Shapes:
    found = shapes.get(stack.shape.qualified, shapes)
    if not isinstance(found, Mapping) or "hidden" not in found:
        raise KeyError(f"no shape of `hidden` for {stack.shape.qualified}")
    return found  # type: ignore[return-value]


def _stack(stack: StackPlan, shapes: Shapes, element_size: int) -> StackMemory:
    if not stack.units or stack.policy.reuse.threshold == 0:
        return StackMemory(stack.shape.qualified, 0, 0)
    predict = stack.policy.predict
    hidden = math.prod(shapes["hidden"])
    extrapolated = predict.streams is None or "hidden" in predict.streams
    repays = predict.repay > 0 and extrapolated and stack.policy.prune is None
    elements = 0
    for stream in ("hidden", "encoder"):
        wanted = predict.streams is None or stream in predict.streams
        count = ANCHORS[predict.method](predict) if wanted else 1
        elements += count * math.prod(shapes[stream]) if stream in shapes else 0
    elements += _REPAY_ANCHORS[predict.method](predict) * hidden if repays else 0
    if predict.method == "probe_gain":
        elements += 2 * hidden
    # in float32 or wider: the debt, the gap's sum, and what the last reused step paid; beside them what it predicted
    kept = sum(unit.stop - unit.start - 1 for unit in stack.units) if stack.shape.keeps else 0
    inner = kept * sum(math.prod(shapes[stream]) for stream in ("hidden", "encoder") if stream in shapes) * element_size
    owed = hidden * (3 * max(4, element_size) + element_size) if repays else 0
    own = 0 if stack.signal is None else _signal(stack.signal, shapes, element_size)
    back = sum(unit.kind == "back" for unit in stack.units)
    measured = (len(stack.units) - back) * own + back * hidden * element_size
    return StackMemory(stack.shape.qualified, len(stack.units) * elements * element_size + inner + owed, measured)


def _signal(signal: Signal, shapes: Shapes, element_size: int) -> int:
    """Return the bytes of one unit's reference."""
    if signal.tap == "magnitude":
        return 0
    if signal.tap == "filtered_latent":
        latent = list(shapes["latent"])
        channels = -1 if len(latent) == 3 else 1  # of tokens the last axis
        latent[channels] = math.ceil(latent[channels] / signal.stride)
        return math.prod(latent) * 4  # kept in float32
    if signal.tap == "transform_rate":  # the input before, input and output of the last computed step, and its rate
        return 3 * math.prod(shapes["latent"]) * element_size + 4
    shape = shapes.get("modulated", shapes["hidden"]) if signal.tap == "modulated_input" else shapes["hidden"]
    return math.prod((*shape[:-1], math.ceil(shape[-1] / signal.stride))) * element_size
