"""The one place where what is measured becomes a number: sums are reduced, values are made of them and read back.

Every value that decides is made of a few sums. Where each rank of a process group holds a part of the tokens, the sums
are added up over all ranks before a value is made of them, so that no two ranks can decide differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

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


def _alone(parts: torch.Tensor) -> torch.Tensor:
    return parts


_REDUCTION: ContextVar[Reduction] = ContextVar("cachedsl_reduction", default=_alone)


@contextmanager
def reducing(reduction: Reduction) -> Iterator[None]:
    """Let `reduction` add up the sums of all ranks, for what is measured inside, on this thread."""
    token = _REDUCTION.set(reduction)
    try:
        yield
    finally:
        _REDUCTION.reset(token)


def reduced(parts: torch.Tensor) -> torch.Tensor:
    """Return the sums `(n,)` over all ranks, for a value that is not read back yet."""
    return _REDUCTION.get()(parts)


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
