"""Block lists that, while their model runs, hand out callables which ask the executor first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import nn

from cachedsl.runtime.objects import restore, specialise


class Conductor(Protocol):
    """Decides what becomes of a block's call."""

    def conducting(self) -> bool:
        """Tell whether the calling thread is inside a forward that is assisted."""
        ...

    def call_block(self, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run block `index`, or return what stands in for it, in the block's own output form."""
        ...


class BlockProxy:
    """Stands for one block in the model's own loop; every attribute read goes to the block."""

    __slots__ = ("_block", "_conductor", "_index")

    def __init__(self, conductor: Conductor, index: int, block: nn.Module) -> None:
        self._conductor = conductor
        self._index = index
        self._block = block

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._conductor.call_block(self._index, self._block, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in BlockProxy.__slots__:  # asked for before it is there, by whatever makes objects without __init__
            raise AttributeError(name)
        return getattr(self._block, name)

    def __repr__(self) -> str:
        return repr(self._block)


def conduct(blocks: nn.ModuleList, conductor: Conductor) -> None:
    """Let `conductor` decide over the calls that go through `blocks`, until `release`.

    The list keeps its identity, its modules and their keys; only iteration, indexing and slicing differ, and only
    while `conductor.conducting()`.
    """
    base = type(blocks)

    def proxies(self: nn.ModuleList) -> list[BlockProxy]:
        return [
            BlockProxy(conductor, index, block)
            for index, block in enumerate(self._modules.values())
            if block is not None
        ]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __iter__(self: nn.ModuleList) -> Iterator[Any]:  # noqa: N807
        return iter(proxies(self)) if conductor.conducting() else base.__iter__(self)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __getitem__(self: nn.ModuleList, index: int | slice) -> Any:  # noqa: N807
        if conductor.conducting():
            return proxies(self)[index]
        if isinstance(index, slice):
            return base(list(self._modules.values())[index])
        return base.__getitem__(self, index)

    specialise(blocks, {"__iter__": __iter__, "__getitem__": __getitem__})


def release(blocks: nn.ModuleList) -> None:
    """Undo `conduct`."""
    restore(blocks)
