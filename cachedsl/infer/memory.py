"""What a model remembers from one call to the next, and the generators that everybody draws from, put back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import nn

MOST = 2**28
"""How many bytes of buffers are kept to be put back, the smallest first; quantised weights may be buffers too."""


class Memory:
    """The state in which a model, Python's `random` and numpy's generator are; `restore` puts it back.

    Of a model these are its buffers, the numbers among its modules' attributes, and generators that its modules keep.
    What else it remembers (tensors that are no buffers, lists, dicts) is not known here.
    """

    def __init__(self, model: nn.Module) -> None:
        self._random = random.getstate()
        self._numpy = np.random.get_state(legacy=False)
        attributes = [vars(module) for module in model.modules()]
        self._numbers = [
            (own, name, value)
            for own in attributes
            for name, value in own.items()
            if type(value) in (bool, int, float)  # no tensor, nor a number with a life of its own
        ]
        self._generators = [
            (value, value.get_state())
            for own in attributes
            for value in own.values()
            if isinstance(value, torch.Generator)
        ]
        room = MOST
        self._buffers: list[_Buffer] = []
        for module, name, tensor in sorted(_buffers(model), key=lambda found: _size(found[2])):
            room -= _size(tensor)
            if room >= 0:
                self._buffers.append(_Buffer(module, name, tensor))

    def restore(self) -> None:
        random.setstate(self._random)
        np.random.set_state(self._numpy)
        for own, name, value in self._numbers:
            if own.get(name) is not value:
                own[name] = value
        for generator, state in self._generators:
            generator.set_state(state)
        for buffer in self._buffers:
            buffer.restore()


class _Buffer:
    def __init__(self, module: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        self._all, self._name, self._tensor = module._buffers, name, tensor
        self._content = None if tensor is None else tensor.detach().clone()

    @torch.no_grad()
    def restore(self) -> None:
        now = self._all.get(self._name)
        if self._tensor is None or self._content is None:
            self._all[self._name] = None
        elif now is not None and (now.is_meta or _equal(now, self._content)):
            return  # as it was, or offloading has it somewhere else
        elif now is not None and now.device != self._tensor.device:
            self._all[self._name] = self._content.to(now.device)
        else:
            self._all[self._name] = self._tensor
            if not _equal(self._tensor, self._content):
                self._tensor.copy_(self._content)


def _buffers(model: nn.Module) -> list[tuple[nn.Module, str, torch.Tensor | None]]:
    return [
        (module, name, tensor)
        for module in model.modules()
        for name, tensor in module._buffers.items()
        if tensor is None or (type(tensor) is torch.Tensor and tensor.layout == torch.strided and not tensor.is_meta)
    ]


def _size(tensor: Any) -> int:
    return 0 if tensor is None else int(tensor.numel() * tensor.element_size())


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.shape == right.shape and left.dtype == right.dtype and torch.equal(left.to(right.device), right)
