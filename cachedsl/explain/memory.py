"""How much memory a plan's features take: counted from shapes, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import field, frozen

from cachedsl.plan.ir import Plan, StackPlan
from cachedsl.plan.rules import SignalPlan

Shape = tuple[int, ...]
_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
Shapes = Mapping[str, Shape]


@frozen
class StackMemory:
    """What one stack holds in one CFG branch, in bytes.

    Attributes:
        stack: its name.
        features: for prediction.
        signal: for its signal, where the model is.
        on_cpu: whether the features are on the CPU, wherever the model is.
    """

    stack: str
    features: int
    signal: int
    on_cpu: bool = False

    @property
    def total(self) -> int:
        """Both together."""
        return self.features + self.signal


@frozen
class Memory:
    """What a run holds at most between steps, in bytes.

    Attributes:
        stacks: what each stack holds in one CFG branch.
        branches: how many branches there are.
    """

    stacks: tuple[StackMemory, ...] = field(converter=tuple[StackMemory, ...])
    branches: int

    @property
    def total(self) -> int:
        """All of it, over all branches."""
        return self.branches * sum(stack.total for stack in self.stacks)

    @property
    def on_cpu(self) -> int:
        """What of it is on the CPU, wherever the model is."""
        return self.branches * sum(stack.features for stack in self.stacks if stack.on_cpu)


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
    if not stack.units or stack.rules.exact:
        return StackMemory(stack.shape.qualified, 0, 0)
    predict = stack.rules.predict
    held = stack.rules.features
    size = element_size if held is None or held.dtype is None else _SIZES[held.dtype]
    hidden = math.prod(shapes["hidden"])
    extrapolated = predict.streams is None or "hidden" in predict.streams
    repays = predict.repay > 0 and extrapolated and stack.rules.prune is None
    elements = predict.probes * hidden
    for stream in ("hidden", "encoder"):
        wanted = predict.streams is None or stream in predict.streams
        count = predict.anchors if wanted else 1
        elements += count * math.prod(shapes[stream]) if stream in shapes else 0
    elements += predict.repay_anchors * hidden if repays else 0
    kept = sum(unit.stop - unit.start - 1 for unit in stack.units) if stack.shape.keeps else 0
    inner = kept * sum(math.prod(shapes[stream]) for stream in ("hidden", "encoder") if stream in shapes) * size
    # in float32 or wider: the debt, the gap's sum, and what the last reused step paid; beside them what it predicted
    owed = hidden * (3 * max(4, size) + size) if repays else 0
    measured = sum(_signal(stack.signal_of(unit), shapes, element_size) for unit in stack.units)
    on_cpu = held is not None and held.device == "cpu"
    return StackMemory(stack.shape.qualified, len(stack.units) * elements * size + inner + owed, measured, on_cpu)


def _signal(signal: SignalPlan | None, shapes: Shapes, element_size: int) -> int:
    """Return the bytes of one unit's reference."""
    if signal is None or signal.holds.stream is None:
        return 0
    holds = signal.holds
    shape = list(shapes["latent"] if holds.stream == "latent" else shapes.get(str(holds.stream), shapes["hidden"]))
    if holds.strided:
        # of a latent the channels come second, but of tokens they are the last axis, as everywhere else
        channels = 1 if holds.stream == "latent" and len(shape) != 3 else -1
        shape[channels] = math.ceil(shape[channels] / int(signal.parameters.get("stride", 1)))
    return holds.tensors * math.prod(shape) * (4 if holds.float32 else element_size) + 4 * holds.numbers
