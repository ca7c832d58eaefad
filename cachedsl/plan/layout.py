"""How a stack's blocks are parted, told without its block count, so that one layout serves stacks of any length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import attrs
from attrs import field, frozen

from cachedsl.plan.ir import StackPlan, UnitKind
from cachedsl.plan.marks import MOST_BLOCKS, BlockCount

Span = tuple[BlockCount, BlockCount, UnitKind]
ALL: Literal["all"] = "all"


KINDS: tuple[UnitKind, ...] = get_args(UnitKind)


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(values)


@frozen
class Layout:
    """How the blocks of a stack are parted.

    Attributes:
        front: how many blocks at the front always run; `all` where the stack runs in full.
        back: how many at the back.
        middle: what is between is one unit (`whole`), one unit a block (`each`), or none where it is left out.
        keep: with `each`, block indices that are no units.
        decides: indices within the back of the blocks that decide for themselves.
        units: begin, end and kind of every unit, where the other keys cannot say it.
    """

    front: BlockCount | Literal["all"]
    back: BlockCount = 0
    middle: Literal["whole", "each"] | None = None
    keep: tuple[BlockCount, ...] = field(default=(), converter=_ints)
    decides: tuple[BlockCount, ...] = field(default=(), converter=_ints)
    units: tuple[Span, ...] | None = None

    def front_of(self, blocks: int) -> int:
        """Return how many blocks at the front of a stack of `blocks` blocks always run."""
        return blocks if isinstance(self.front, str) else self.front

    def spans(self, blocks: int) -> Iterator[Span]:
        """Yield begin, end and kind of the units of a stack of `blocks` blocks."""
        if self.units is not None:
            yield from self.units
            return
        start, end = self.front_of(blocks), blocks - self.back
        if self.middle == "whole":
            yield start, end, "middle"
        elif self.middle == "each":
            yield from ((at, at + 1, "pruned") for at in range(start, end) if at not in self.keep)
        yield from ((end + at, end + at + 1, "back") for at in self.decides)


def layout_of(stack: StackPlan) -> Layout:
    """Return the layout of a stack."""
    spans = tuple((unit.start, unit.stop, unit.kind) for unit in stack.units)
    if not spans and (stack.front, stack.back) == (stack.blocks, 0):
        return Layout(ALL)
    end = stack.blocks - stack.back
    taken = {start for start, _, kind in spans if kind == "pruned"}
    keep = tuple(at for at in range(stack.front, end) if at not in taken) if taken else ()
    decides = tuple(start - end for start, _, kind in spans if kind == "back")
    middles: tuple[Literal["whole", "each"] | None, ...] = ("whole", "each", None)
    for middle in middles:
        found = Layout(stack.front, stack.back, middle, keep if middle == "each" else (), decides)
        if tuple(found.spans(stack.blocks)) == spans:
            return found
    return Layout(stack.front, stack.back, units=spans)


def layout_tree(layout: Layout) -> dict[str, Any]:
    """Return a layout as JSON has it: without what is empty."""
    return {key: value for key, value in attrs.asdict(layout).items() if value is not None and value != ()}


def read_layout(tree: Any) -> Layout:
    """Read a layout. Raises ValueError, which says what is wrong."""
    known = [one.name for one in attrs.fields(Layout)]
    if not isinstance(tree, Mapping) or set(tree) - set(known) or "front" not in tree:
        raise ValueError(f"expected a mapping of {', '.join(known)}, with front, got {tree!r}")
    if tree.get("middle") not in (None, "whole", "each"):
        raise ValueError(f"middle: expected whole or each, got {tree['middle']!r}")
    front = ALL if tree["front"] == ALL else _count(tree["front"], "front")
    keep, decides = (tuple(_count(at, key) for at in _list(tree, key)) for key in ("keep", "decides"))
    units = tuple(_span(one) for one in _list(tree, "units")) if tree.get("units") is not None else None
    return Layout(front, _count(tree.get("back", 0), "back"), tree.get("middle"), keep, decides, units)


def _list(tree: Mapping[str, Any], key: str) -> list[Any]:
    found = tree.get(key, [])
    if not isinstance(found, list):
        raise ValueError(f"{key}: expected a list, got {found!r}")
    return found


def _span(written: Any) -> Span:
    if not isinstance(written, list) or len(written) != 3:
        raise ValueError(f"units: expected begin, end and kind of a unit, got {written!r}")
    kind = next((one for one in KINDS if one == written[2]), None)
    if kind is None:
        raise ValueError(f"units: expected {', '.join(KINDS[:-1])} or {KINDS[-1]}, got {written[2]!r}")
    return _count(written[0], "units"), _count(written[1], "units"), kind


def _count(value: Any, key: str) -> int:
    if type(value) is not int or not 0 <= value <= MOST_BLOCKS:
        raise ValueError(f"{key}: expected a number of blocks, got {value!r}")
    return value
