"""The one place where what is measured becomes a number: sums are reduced, values are made of them and read back.

Every value that decides is made of a few sums. Where each rank of a process group holds a part of the tokens, the sums
are added up over all ranks before a value is made of them, so that no two ranks can decide differently. Where each
holds all of them, the sums are multiples and the values, all of them ratios of sums, stay what they are.

A reduction is installed for what is measured inside a `with`, on this thread:

    def add_up(parts: torch.Tensor) -> torch.Tensor:
        torch.distributed.all_reduce(parts, group=group)
        return parts

    with reducing(add_up):
        ...

and for one attachment by `Session.ranks = Ranks(add_up)`: then every call of its transformers is inside such a `with`.
Without one nothing is added up. All ranks ask in the same order, each time with as many sums, as long as their models
are called in the same order with arguments of the same outline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from attrs import frozen

Reduction = Callable[[torch.Tensor], torch.Tensor]
"""Takes the sums of this rank, `(n,)`, and returns those over all ranks."""


@frozen
class Sums:
    """A measurement before it is a number.

    Attributes:
        parts: the sums, `(n,)`.
        value: makes a scalar tensor of them, once they are those over all ranks.
        finish: turns that number into the one that is compared.
    """

    parts: torch.Tensor
    value: Callable[[torch.Tensor], torch.Tensor]
    finish: Callable[[float], float] = lambda value: value


@frozen
class Ranks:
    """The ranks, processes that share a run, that must decide alike; `cachedsl.engines.ranks_of_group` makes one.

    Attributes:
        add_up: adds up the sums of all of them.
        share_items: whether they hold parts of the same items of a batch, or the same parts; False where each has items
            of its own, so that what is told of each item by itself is not added up.
        first: returns what the first rank hands over, on all of them.
        compare: is told each verdict, and raises on all ranks where theirs differ; None where that was not asked for.
    """

    add_up: Reduction
    share_items: bool = True
    first: Callable[[Any], Any] = lambda value: value
    compare: Callable[[str], None] | None = None


_RANKS: ContextVar[Ranks | None] = ContextVar("cachedsl_ranks", default=None)


@contextmanager
def reducing(ranks: Ranks | Reduction | None) -> Iterator[None]:
    """Let sums be added up over all ranks, for what is measured inside, on this thread; None is this rank alone."""
    token = _RANKS.set(ranks if ranks is None or isinstance(ranks, Ranks) else Ranks(ranks))
    try:
        yield
    finally:
        _RANKS.reset(token)


def reduced(parts: torch.Tensor) -> torch.Tensor:
    """Return the sums `(n,)` over all ranks, for a value that is not read back yet."""
    ranks = _RANKS.get()
    return parts if ranks is None else ranks.add_up(parts)


def reduced_by_item(parts: torch.Tensor) -> torch.Tensor:
    """Return the sums `(n,)` over all ranks that hold parts of the same items, for a value of each item by itself."""
    ranks = _RANKS.get()
    return parts if ranks is None or not ranks.share_items else ranks.add_up(parts)


def any_rank(flag: bool, device: torch.device) -> bool:
    """Tell whether `flag` is true on any rank; it waits for the others where there are others.

    Args:
        flag: of this rank.
        device: where the group's tensors are.
    """
    if _RANKS.get() is None:
        return flag
    return bool(reduced(torch.tensor([float(flag)], device=device)).item() > 0)


def from_first(value: Any) -> Any:
    """Return what the first rank hands over in this place: what they all go by, and might see differently."""
    ranks = _RANKS.get()
    return value if ranks is None else ranks.first(value)


def compare(verdict: Callable[[], str]) -> None:
    """Let the ranks compare what they have come to, where that was asked for."""
    ranks = _RANKS.get()
    if ranks is not None and ranks.compare is not None:
        ranks.compare(verdict())


def read(measured: Sequence[Sums | float]) -> list[float]:
    """Return the numbers that are known together, one a measurement.

    All their sums are reduced in one go, and waited for in one go; what is a number already costs neither.
    """
    sums = [one for one in measured if isinstance(one, Sums)]
    if not sums:
        return [one for one in measured if not isinstance(one, Sums)]
    split = torch.split(reduced(torch.cat([one.parts for one in sums])), [len(one.parts) for one in sums])
    values = [one.value(parts) for one, parts in zip(sums, split, strict=True)]
    numbers = iter([values[0].item()] if len(values) == 1 else torch.stack(values).tolist())
    return [one.finish(float(next(numbers))) if isinstance(one, Sums) else one for one in measured]
