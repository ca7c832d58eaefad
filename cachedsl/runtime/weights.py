"""What a transformer computes with, seen cheaply before each call, to know when it is not what it was at the last one.

Looked at are the block modules themselves, one parameter of each block (its identity, its dtype, and the counter that
goes up with every write into it), autocast, and the state of adapters (peft's LoRA and its like): which there are,
which are active, how they are scaled, which are fused. Weights that hooks bring and take away (accelerate) are other
tensors each time, and are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from attrs import define, field
from torch import nn

from cachedsl.runtime.held import version_of

_DEVICES = ("cuda", "cpu", "xpu", "mps")


@define(eq=False)
class Weights:
    """Looks at one transformer.

    Attributes:
        transformer: the model.
        precision: what decides, with a call's arguments, in which dtypes blocks compute; known once it was looked.
    """

    transformer: nn.Module
    _blocks: tuple[int, ...] = ()
    _sample: list[tuple[nn.Module, str]] = field(factory=list)
    _adapted: tuple[object, list[nn.Module]] | None = None
    precision: object = None

    def look(self, blocks: Sequence[nn.Module]) -> tuple[object, ...]:
        """Return what is equal as long as nobody has changed anything; `blocks` are those that are driven."""
        ids = tuple([id(block) for block in blocks])
        if ids != self._blocks:
            self._blocks, self._adapted = ids, None
            self._sample = [found for block in blocks if (found := _first_parameter(block)) is not None]
        weights = self._sample[0][0]._parameters.get(self._sample[0][1]) if self._sample else None
        self.precision = (None if weights is None else weights.dtype, tuple(map(_autocast, _DEVICES)))
        return (ids, tuple(map(_seen, self._sample)), self.precision, self._adapters())

    def _adapters(self) -> tuple[object, ...]:
        """Return the state of every layer with an adapter on it; the layers are looked for when adapters come or go."""
        config = getattr(self.transformer, "peft_config", None)
        if not config:
            return ()
        names = tuple(config)
        if self._adapted is None or self._adapted[0] != names:
            layers = [m for m in self.transformer.modules() if m._modules.get("base_layer") is not None]
            self._adapted = names, layers
        return (names, *map(_adapter, self._adapted[1]))


def _autocast(device: str) -> torch.dtype | None:
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _first_parameter(block: nn.Module) -> tuple[nn.Module, str] | None:
    return next(((module, name) for module in block.modules() for name in module._parameters), None)


def _seen(sample: tuple[nn.Module, str]) -> object:
    module, name = sample
    parameter = module._parameters.get(name)
    if parameter is None or "_hf_hook" in module.__dict__:
        return None
    return id(parameter), version_of(parameter)


def _adapter(layer: nn.Module) -> object:
    """Return what says how the adapters of a layer take part: peft's own state, by value."""
    state: Any = layer.__dict__
    return (
        tuple(_values(state.get("_active_adapter"))),
        state.get("_disable_adapters"),
        tuple(_values(state.get("merged_adapters"))),
        tuple(_values(state.get("scaling"))),
    )


def _values(found: Any) -> Iterator[object]:
    if isinstance(found, dict):
        yield from found.items()
    elif isinstance(found, (list, tuple)):
        yield from found
    else:
        yield found
