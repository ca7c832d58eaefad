"""Intercept what the model's own loop gets from a block list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from attrs import define, field
from torch import nn

from cachedsl.runtime.objects import restore, state_of, subclass_object
from cachedsl.runtime.stacks import BlockProxy, Conductor, _like

__all__ = ["intercept", "restore"]


@define(eq=False)
class ListState:
    """One intercepted list: who decides over its blocks, and what stands for them.

    Attributes:
        conductor: decides what becomes of each block's call.
        proxies: one for each place, made once, so that a loop can compare them with `is`.
    """

    conductor: Conductor
    proxies: dict[int, BlockProxy] = field(factory=dict)

    def proxy(self, index: int, block: nn.Module | None) -> Any:
        if block is None:
            return None
        known = self.proxies.get(index)
        kind = _like(BlockProxy, block)
        if known is None or known._cachedsl_block is not block or type(known) is not kind:
            known = self.proxies[index] = kind(self.conductor, index, block)  # type: ignore[assignment]
        return known

    def all(self, blocks: nn.ModuleList) -> list[Any]:
        return [self.proxy(index, block) for index, block in enumerate(blocks._modules.values())]


def intercept(blocks: nn.ModuleList, conductor: Conductor) -> None:
    """Let `conductor` decide over the calls that go through `blocks`, until `restore`.

    The list keeps its identity, its modules and their keys; only iteration, indexing, slicing and `children()` differ,
    and only while `conductor.conducting()`.
    """
    subclass_object(blocks, _methods, ListState(conductor))


def _conducted(blocks: nn.ModuleList) -> list[Any] | None:
    """Return what stands for the blocks while the model runs on this thread; None at any other time."""
    state: ListState | None = state_of(blocks)
    return state.all(blocks) if state is not None and state.conductor.conducting() else None


def _methods(base: type) -> dict[str, Any]:
    of_list: Any = base

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __iter__(self: nn.ModuleList) -> Iterator[Any]:  # noqa: N807
        proxies = _conducted(self)
        return of_list.__iter__(self) if proxies is None else iter(proxies)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __getitem__(self: nn.ModuleList, index: int | slice) -> Any:  # noqa: N807
        proxies = _conducted(self)
        if isinstance(index, slice):
            return of_list((list(self._modules.values()) if proxies is None else proxies)[index])
        return of_list.__getitem__(self, index) if proxies is None else proxies[index]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def named_children(self: nn.ModuleList) -> Iterator[tuple[str, Any]]:
        found = of_list.named_children(self)
        proxies = _conducted(self)
        if proxies is None:
            return found  # type: ignore[no-any-return]
        named = dict(zip(self._modules, proxies, strict=True))
        return ((name, named[name]) for name, _ in found)

    return {"__iter__": __iter__, "__getitem__": __getitem__, "named_children": named_children}
