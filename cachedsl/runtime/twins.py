"""Stand-ins for blocks, and block lists that hand them out while their model runs.

A twin is an instance of a subclass of the block's class, made once for each class and role, and shares the block's
`__dict__`: whatever a model's loop asks or tells it, but for calling it, is the block's. The list's subclass is one for
each class of lists, too, and what it hands out is its state, see `objects.py`: dynamo guards on classes, so that models
that are alike share their graphs, and attaching again compiles nothing anew.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import define
from torch import nn

from cachedsl.runtime.objects import restore, state_of, subclass_object

Role = Callable[[Any, Any, tuple[Any, ...], Mapping[str, Any]], Any]
"""Answers a call of a block: `(site, run, args, kwargs)`, where `run` is the block, or its `forward`.

`site.arrive` is what a hook of the block makes of its arguments, see `arrival.py`; None for most.
"""

_SLOTS = ("_cachedsl_block", "_cachedsl_site")


@functools.lru_cache(maxsize=1024)
def _twin_class(block_class: Any, role: Role, answer: Callable[..., Any] | None) -> Any:
    def arrived(site: Any, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return role(site, site.arrive.past(run), *site.arrive(args, kwargs))

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        site = self._cachedsl_site
        if site.arrive is None:
            return role(site, self._cachedsl_block, args, kwargs)
        return arrived(site, self._cachedsl_block, args, kwargs)

    def forward(self: Any) -> Any:
        """Return what a loop that calls `forward` calls: it runs the block without its hooks."""
        site, bare = self._cachedsl_site, self._cachedsl_block.forward

        @functools.wraps(bare)
        def call(*args: Any, **kwargs: Any) -> Any:
            return (role if site.arrive is None else arrived)(site, bare, args, kwargs)

        return call

    def exchange(self: Any, value: Any) -> None:
        self._cachedsl_block.forward = value

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        return bool(self._cachedsl_block == getattr(other, "_cachedsl_block", other))

    def __reduce_ex__(self: Any, protocol: Any) -> Any:  # noqa: N807 - copies and pickles are the block's
        return self._cachedsl_block.__reduce_ex__(protocol)

    body = {
        "__slots__": _SLOTS,
        "__doc__": block_class.__doc__,
        "__module__": block_class.__module__,
        "__qualname__": block_class.__qualname__,
        "__class__": property(lambda self: self._cachedsl_block.__class__),
        "__call__": answer or __call__,
        "__eq__": __eq__,
        "__hash__": lambda self: hash(self._cachedsl_block),
        "__reduce_ex__": __reduce_ex__,
        "forward": property(forward, exchange),
    }
    metaclass: Any = type(block_class)
    return metaclass(block_class.__name__, (block_class,), body)


def twin(block: nn.Module, role: Role, site: Any, answer: Callable[..., Any] | None = None) -> Any:
    """Return what stands for `block` in its model's loop, and answers calls as `role` does with `site`.

    `answer` is a `__call__` that does the same in fewer Python calls.
    """
    made: Any = object.__new__(_twin_class(type(block), role, answer))  # type: ignore[arg-type]
    object.__setattr__(made, "__dict__", block.__dict__)
    object.__setattr__(made, "_cachedsl_block", block)
    object.__setattr__(made, "_cachedsl_site", site)
    return made


@define(eq=False)
class View:
    """What a block list hands out during one call.

    Attributes:
        items: one for each place of the list.
        thread: whose call it is; where a model is compiled as a whole, calls have a lock instead.
    """

    items: Sequence[Any]
    thread: int | None = None


@define(eq=False)
class ListState:
    """What an adopted list hands out: a view during a call, else None, and then its blocks."""

    view: View | None = None


def _list_methods(base: Any) -> dict[str, Any]:
    def items(self: Any) -> Any:
        kept = self._cachedsl_state
        view = None if kept is None else kept.value.view
        if view is None or not (torch.compiler.is_compiling() or view.thread == threading.get_ident()):
            return None
        return view.items

    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        found = items(self)
        return iter(self._modules.values()) if found is None else iter(found)

    def __getitem__(self: Any, index: int | slice) -> Any:  # noqa: N807
        found = items(self)
        if isinstance(index, slice):
            return base((list(self._modules.values()) if found is None else found)[index])
        return base.__getitem__(self, index) if found is None else found[index]

    def named_children(self: Any) -> Iterator[tuple[str, Any]]:
        children: Iterator[tuple[str, Any]] = base.named_children(self)
        found = items(self)
        if found is None:
            return children
        named = dict(zip(self._modules, found, strict=True))
        return ((name, named[name]) for name, _ in children)

    return {"__iter__": __iter__, "__getitem__": __getitem__, "named_children": named_children}


def adopt(blocks: nn.ModuleList) -> None:
    """Let the list be able to hand out twins; it keeps its identity, its modules and their keys."""
    subclass_object(blocks, _list_methods, ListState())


def release(blocks: nn.ModuleList) -> None:
    """Undo `adopt`."""
    restore(blocks)


def hand_out(blocks: nn.ModuleList, view: View | None) -> None:
    """Let the list hand out a view, or the blocks themselves again."""
    state: ListState | None = state_of(blocks)
    if state is None:
        return
    if view is not None:
        view.thread = threading.get_ident()
    state.view = view


def handed_out(blocks: nn.ModuleList) -> View | None:
    """Return what `hand_out` was given."""
    state: ListState | None = state_of(blocks)
    return None if state is None else state.view
