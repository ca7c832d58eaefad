"""Block lists that, while their model runs, hand out callables which ask the executor first."""

from __future__ import annotations

import functools
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


class _Behind:
    """What stands for a block in the model's own loop: all but a call of it is the block itself, its class included.

    Its own attributes have long names, for every other name is the block's.
    """

    __slots__ = ("__weakref__", "_cachedsl_block", "_cachedsl_conductor", "_cachedsl_index")
    _cachedsl_block: nn.Module
    _cachedsl_conductor: Conductor
    _cachedsl_index: int

    def __init__(self, conductor: Conductor, index: int, block: nn.Module) -> None:
        object.__setattr__(self, "_cachedsl_block", block)
        object.__setattr__(self, "_cachedsl_conductor", conductor)
        object.__setattr__(self, "_cachedsl_index", index)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._cachedsl_block.__class__

    def __getattr__(self, name: str) -> Any:
        if name in _Behind.__slots__:  # asked for before it is there, by whatever makes objects without __init__
            raise AttributeError(name)
        return getattr(self._cachedsl_block, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._cachedsl_block, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._cachedsl_block, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._cachedsl_block == (other._cachedsl_block if issubclass(type(other), _Behind) else other))  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._cachedsl_block)

    def __dir__(self) -> list[str]:
        return dir(self._cachedsl_block)

    def __repr__(self) -> str:
        return repr(self._cachedsl_block)

    def __reduce_ex__(self, protocol: Any) -> Any:  # copies and pickles are the block's
        return self._cachedsl_block.__reduce_ex__(protocol)


class BlockProxy(_Behind):
    """Stands for one block in the model's own loop, which asks the conductor by calling it, or its `forward`."""

    __slots__ = ()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._cachedsl_conductor.call_block(self._cachedsl_index, self._cachedsl_block, args, kwargs)

    @property
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self) -> Any:
        bare: Any = _like(_Unhooked, self._cachedsl_block)(
            self._cachedsl_conductor, self._cachedsl_index, self._cachedsl_block
        )

        @torch.compiler.disable  # type: ignore[untyped-decorator]
        @functools.wraps(self._cachedsl_block.forward)
        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._cachedsl_conductor.call_block(self._cachedsl_index, bare, args, kwargs)

        return forward


class _Unhooked(_Behind):
    """The block that runs by its `forward` alone, without its hooks, as a loop that calls `forward` runs it."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._cachedsl_block.forward(*args, **kwargs)


_IMPLICIT = (
    *("__len__", "__bool__", "__iter__", "__reversed__"),
    *("__contains__", "__getitem__", "__setitem__", "__delitem__"),
)
"""What Python looks up on the class and `__getattr__` so does not see: a block may be an `nn.Sequential`."""


@functools.lru_cache(maxsize=512)
def _class_like(kind: type[_Behind], block_class: type) -> type[_Behind]:
    def forwarded(name: str) -> Any:
        return lambda self, *args: getattr(block_class, name)(self._cachedsl_block, *args)

    body: dict[str, Any] = {name: forwarded(name) for name in _IMPLICIT if hasattr(block_class, name)}
    body |= {"__slots__": (), "__doc__": block_class.__doc__, "__module__": block_class.__module__}
    return type(block_class.__name__, (kind,), body)


def _like(kind: type[_Behind], block: nn.Module) -> type[_Behind]:
    """Return `kind` under the name of the block's class, with what that class can do."""
    return _class_like(kind, type(block))  # type: ignore[arg-type]  # mypy takes a class for an instance here


def conduct(blocks: nn.ModuleList, conductor: Conductor) -> None:
    """Let `conductor` decide over the calls that go through `blocks`, until `release`.

    The list keeps its identity, its modules and their keys; only iteration, indexing, slicing and `children()` differ,
    and only while `conductor.conducting()`.
    """
    base = type(blocks)
    made: dict[int, BlockProxy] = {}  # one for each place, so that a loop can compare them with `is`

    def proxy(index: int, block: nn.Module | None) -> Any:
        if block is None:
            return None
        known = made.get(index)
        if known is None or known._cachedsl_block is not block or type(known) is not _like(BlockProxy, block):
            known = made[index] = _like(BlockProxy, block)(conductor, index, block)  # type: ignore[assignment]
        return known

    def proxies(self: nn.ModuleList) -> list[Any]:
        return [proxy(index, block) for index, block in enumerate(self._modules.values())]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __iter__(self: nn.ModuleList) -> Iterator[Any]:  # noqa: N807
        return iter(proxies(self)) if conductor.conducting() else base.__iter__(self)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __getitem__(self: nn.ModuleList, index: int | slice) -> Any:  # noqa: N807
        conducting = conductor.conducting()
        if isinstance(index, slice):
            return base((proxies(self) if conducting else list(self._modules.values()))[index])
        return proxies(self)[index] if conducting else base.__getitem__(self, index)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def named_children(self: nn.ModuleList) -> Iterator[tuple[str, Any]]:
        found = base.named_children(self)
        if not conductor.conducting():
            return found
        named = dict(zip(self._modules, proxies(self), strict=True))
        return ((name, named[name]) for name, _ in found)

    specialise(blocks, {"__iter__": __iter__, "__getitem__": __getitem__, "named_children": named_children})


def release(blocks: nn.ModuleList) -> None:
    """Undo `conduct`."""
    restore(blocks)
