"""Look at one call of a model: which block lists its loop goes over, and what their blocks take and return."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import torch
from attrs import define, field, frozen
from torch import nn


@frozen
class SeenTensor:
    """A tensor that a block took; `link` is its place in the output of the list's block before, where it was there."""

    shape: tuple[int, ...]
    floating: bool
    link: int | None = None


@frozen
class SeenCall:
    """One call of a block.

    Attributes:
        index: of the block in its list.
        tensors: the tensors among its arguments by name, in the order of its signature.
        output: the shapes of the tensors that it returned in their order, None for a None, a class's name for others.
        is_tuple: whether it returned them in a tuple or list.
    """

    index: int
    tensors: Mapping[str, SeenTensor]
    output: tuple[tuple[int, ...] | str | None, ...]
    is_tuple: bool


@define(eq=False)
class SeenList:
    """One `ModuleList`, and the calls of its blocks in one forward of the model.

    Attributes:
        path: where the model has it.
        blocks: how many it has.
        classes: the names of the blocks' classes.
        calls: in their order.
        inside: paths of the lists inside whose blocks its blocks were called.
    """

    path: str
    blocks: int
    classes: tuple[str, ...]
    calls: list[SeenCall] = field(factory=list)
    inside: set[str] = field(factory=set)


def watch(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[SeenList, ...]:
    """Call the model once and return its block lists in the order of their first calls, those without any last.

    A list counts from two blocks on, each of which has modules of its own. Nothing of the call is kept but shapes and
    names.
    """
    found: list[SeenList] = []
    handles = []
    active: list[str] = []
    before: dict[str, tuple[Any, ...]] = {}
    first_calls: list[str] = []

    def entering(seen: SeenList, index: int) -> Any:
        def hook(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not seen.calls:
                first_calls.append(seen.path)
            seen.inside.update(path for path in active if path != seen.path)
            active.append(seen.path)
            seen.calls.append(SeenCall(index, _tensors(block, args, kwargs, before.get(seen.path, ())), (), False))

        return hook

    def leaving(seen: SeenList) -> Any:
        def hook(block: nn.Module, args: Any, output: Any) -> None:
            active.pop()
            parts = tuple(output) if isinstance(output, (tuple, list)) else (output,)
            before[seen.path] = parts
            call = seen.calls[-1]
            is_tuple = isinstance(output, (tuple, list))
            seen.calls[-1] = SeenCall(call.index, call.tensors, tuple(map(_shape, parts)), is_tuple)

        return hook

    for path, module in model.named_modules():
        if is_block_list(module):
            seen = SeenList(path, len(module), tuple(dict.fromkeys(type(block).__name__ for block in module)))
            found.append(seen)
            for index, block in enumerate(module):
                handles.append(block.register_forward_pre_hook(entering(seen, index), with_kwargs=True))
                handles.append(block.register_forward_hook(leaving(seen)))
    try:
        with torch.no_grad():
            model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    order = {path: place for place, path in enumerate(first_calls)}
    return tuple(sorted(found, key=lambda seen: order.get(seen.path, len(order))))


def is_block_list(module: nn.Module) -> TypeGuard[nn.ModuleList]:
    """Tell whether a module is a list of two blocks or more; layers without modules of their own are no blocks."""
    return isinstance(module, nn.ModuleList) and len(module) > 1 and all(any(b.children()) for b in module)


def _tensors(block: nn.Module, args: Any, kwargs: Any, before: tuple[Any, ...]) -> dict[str, SeenTensor]:
    try:
        bound = inspect.signature(block.forward).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = dict(kwargs)
    links = {id(part): place for place, part in enumerate(before) if isinstance(part, torch.Tensor)}
    return {
        name: SeenTensor(tuple(value.shape), value.is_floating_point(), links.get(id(value)))
        for name, value in bound.items()
        if isinstance(value, torch.Tensor)
    }


def _shape(part: Any) -> tuple[int, ...] | str | None:
    if isinstance(part, torch.Tensor):
        return tuple(part.shape)
    return None if part is None else type(part).__name__
