"""Copies of what a model is called with, and the tensors in what it returns, whatever classes hold them."""

from __future__ import annotations

import copy
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType)
_WHOLE = (str, bytes, int, float, complex, type, ModuleType, nn.Module, torch.dtype, torch.device, *_FUNCTIONS)
"""What is neither copied nor looked into."""


def copied(value: Any) -> Any:
    """Return a copy of the same type that a model may write into and draw from.

    Tensors and generators of random numbers are copied, and whatever holds them; what is there twice is there twice in
    the copy too. Modules, functions, and what cannot be rebuilt, are handed on.
    """
    return _Copier().of(value)


class _Copier:
    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, Any]] = {}  # by id, with the original, lest another gets its id

    def of(self, value: Any) -> Any:
        if id(value) in self._done:
            return self._done[id(value)][1]
        try:
            made = self._made(value)
        except Exception:
            made = value
        self._done[id(value)] = value, made
        return made

    def _made(self, value: Any) -> Any:
        if value is None or isinstance(value, _WHOLE):
            return value
        if isinstance(value, torch.Tensor):
            return value.clone()
        if isinstance(value, torch.Generator):
            twin = torch.Generator(value.device)
            twin.set_state(value.get_state())
            return twin
        if isinstance(value, tuple):
            return self._tuple(value)
        if isinstance(value, (set, frozenset)):
            return type(value)(map(self.of, value))
        if hasattr(type(value), "__deepcopy__") or not _is_open(value):
            return copy.deepcopy(value)  # it knows better; or it is written in C, as numpy's generators are
        made = _shallow(value)
        if made is not value:
            self._done[id(value)] = value, made  # before its parts, which may lead back to it
            self._fill(value, made)
        return made

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        parts = [self.of(part) for part in value]
        if all(part is before for part, before in zip(parts, value, strict=True)):
            return value
        rebuild: Any = getattr(type(value), "_make", type(value))  # a namedtuple's, else by its class
        return rebuild(parts)

    def _fill(self, value: Any, made: Any) -> None:
        """Replace the parts of `made`, which are those of `value`, with copies, past what its class does on writing."""
        if isinstance(value, dict):
            for key, item in dict.items(value):
                if dict.__contains__(made, key):
                    dict.__setitem__(made, key, self.of(item))
        elif isinstance(value, (list, deque)):
            for place, item in enumerate(value):
                made[place] = self.of(item)
        before, after = getattr(value, "__dict__", None), getattr(made, "__dict__", None)
        if before is not None and after is not None and before is not after:
            for name, item in tuple(before.items()):
                if name in after:
                    after[name] = self.of(item)
        for slot in _slots(value):
            item = slot.__get__(value)
            if (new := self.of(item)) is not item:
                slot.__set__(made, new)


def _is_open(value: Any) -> bool:
    """Tell whether its parts can be had one by one."""
    return isinstance(value, (dict, list, deque)) or hasattr(value, "__dict__") or bool(_slots(value))


def _shallow(value: Any) -> Any:
    try:
        return copy.copy(value)
    except Exception:  # a dict whose `__getattr__` answers what `copy` asks of it, or that refuses to be written into
        if not isinstance(value, dict):
            raise
    made = type(value).__new__(type(value))
    write: Any = OrderedDict.__setitem__ if isinstance(value, OrderedDict) else dict.__setitem__
    for key, item in dict.items(value):
        write(made, key, item)
    if (attributes := getattr(value, "__dict__", None)) is not None:
        made.__dict__.update(attributes)
    return made


def tensors(value: Any) -> list[torch.Tensor]:
    """Return every tensor in what a model returned, in order: in lists, mappings and dataclasses.

    Only where there are none are they looked for in the attributes of other objects too: beside tensors, such an object
    is a cache of keys and values, say, which blocks that are reused do not fill. Modules are not looked into.
    """
    return list(_tensors(value, {}, False)) or list(_tensors(value, {}, True))


def _tensors(value: Any, around: dict[int, Any], deep: bool) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif value is not None and not isinstance(value, _WHOLE) and id(value) not in around:
        around[id(value)] = value  # kept, lest another gets its id
        for part in _parts(value, deep):
            yield from _tensors(part, around, deep)


def _parts(value: Any, deep: bool) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (list, tuple, deque)):
        return list(value)
    if not (deep or is_dataclass(value)):
        return []
    attributes = getattr(value, "__dict__", None)
    named = list(attributes.values()) if isinstance(attributes, dict) else []
    return named + [slot.__get__(value) for slot in _slots(value)]


def _slots(value: Any) -> list[MemberDescriptorType]:
    """Return the slots of classes written in Python that are set."""
    found = [
        member
        for cls in type(value).__mro__
        if "__slots__" in vars(cls)
        for member in vars(cls).values()
        if isinstance(member, MemberDescriptorType)
    ]
    return [slot for slot in found if _is_set(slot, value)]


def _is_set(slot: MemberDescriptorType, value: Any) -> bool:
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True
