"""What is learned of a block list on its first computed step: plain values, without a tensor in them."""

from __future__ import annotations

import torch
from attrs import define, field, frozen

from cachedsl.matching.patterns import Stream


@frozen
class Form:
    """How one block returned its streams: a bare tensor, or a tuple in which some places may be None.

    Attributes:
        is_tuple: whether it was a tuple.
        dtypes: of the streams, in the order of the pattern's outputs; None where the block returned none.
    """

    is_tuple: bool
    dtypes: tuple[torch.dtype | None, ...]


@frozen
class Traits:
    """One block.

    Attributes:
        form: how it returns its streams; None until it has run.
        writes: whether blocks write into what enters the unit that begins with this one; None until one has run.
    """

    form: Form | None = None
    writes: bool | None = None


@define(eq=False)
class LoopTraits:
    """What the model's own loop does around the blocks of one list.

    Attributes:
        writes: whether it writes into what blocks return; None until a computed unit of the run has shown it.
        learned: how often anything was learned of a block of the list.
    """

    writes: bool | None = None
    learned: int = 0


@frozen
class UnitPath:
    """Which blocks of a unit the loop called: from the first to the last of them, and how many.

    Attributes:
        unit: which one.
        first: of its blocks that were called.
        last: likewise.
        blocks: how many were called.
        moved: the streams that left in the shape in which they entered; None where nothing was stored. A graph goes by
            that, for it cannot ask for shapes that depend on data.
    """

    unit: int
    first: int
    last: int
    blocks: int
    moved: frozenset[Stream] | None = None


@frozen
class Path:
    """Which blocks of a list, or of a chain of lists, the loop called on a computed step.

    Attributes:
        outside: how many of those that are in no unit.
        units: those that it reached.
    """

    outside: int = 0
    units: tuple[UnitPath, ...] = field(default=(), converter=tuple[UnitPath, ...])

    @property
    def blocks(self) -> int:
        return self.outside + sum(unit.blocks for unit in self.units)
