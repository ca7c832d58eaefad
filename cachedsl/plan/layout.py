"""How a stack's blocks are parted, told without its block count, so that one layout serves stacks of any length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from attrs import field, frozen

from cachedsl.plan.ir import StackPlan

Span = tuple[int, int, str]
ALL = "all"


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(values)


@frozen
class Layout:
    """The blocks of a stack.

    Attributes:
        front: how many blocks at the front always run; None is all of them.
        back: how many at the back.
        middle: what is between is one unit (`whole`), one unit a block (`each`), or none.
        keep: with `each`, block indices that are no units.
        decides: indices within the back of the blocks that decide for themselves.
        units: begin, end and kind of every unit, where the other keys cannot say it.
    """

    front: int | None
    back: int = 0
    middle: str | None = None
    keep: tuple[int, ...] = field(default=(), converter=_ints)
    decides: tuple[int, ...] = field(default=(), converter=_ints)
    units: tuple[Span, ...] | None = None

    def spans(self, blocks: int) -> Iterator[Span]:
        """Yield begin, end and kind of the units of a stack of `blocks` blocks."""
        if self.units is not None:
            yield from self.units
            return
        start, end = blocks if self.front is None else self.front, blocks - self.back
        if self.middle == "whole":
            yield start, end, "middle"
        elif self.middle == "each":
            yield from ((at, at + 1, "pruned") for at in range(start, end) if at not in self.keep)
        yield from ((end + at, end + at + 1, "back") for at in self.decides)


def layout_of(stack: StackPlan) -> Layout:
    """Return the layout of a stack."""
    spans = tuple((unit.start, unit.stop, unit.kind) for unit in stack.units)
    if not spans and (stack.front, stack.back) == (stack.blocks, 0):
        return Layout(None)
    end = stack.blocks - stack.back
    taken = {start for start, _, kind in spans if kind == "pruned"}
    keep = tuple(at for at in range(stack.front, end) if at not in taken) if taken else ()
    decides = tuple(start - end for start, _, kind in spans if kind == "back")
    for middle in ("whole", "each", None):
        found = Layout(stack.front, stack.back, middle, keep if middle == "each" else (), decides)
        if tuple(found.spans(stack.blocks)) == spans:
            return found
    return Layout(stack.front, stack.back, units=spans)


def layout_tree(layout: Layout) -> dict[str, Any]:
    """Return a layout as JSON has it: without what is empty."""
    tree = {key: value for key, value in attrs.asdict(layout).items() if value is not None and value != ()}
    return {**tree, "front": ALL if layout.front is None else layout.front}


def read_layout(tree: Any) -> Layout:
    """Read a layout. Raises ValueError, which says what is wrong."""
    known = [one.name for one in attrs.fields(Layout)]
    if not isinstance(tree, Mapping) or set(tree) - set(known) or "front" not in tree:
        raise ValueError(f"expected a mapping of {', '.join(known)}, with front, got {tree!r}")
    if tree.get("middle") not in (None, "whole", "each"):
        raise ValueError(f"middle: expected whole or each, got {tree['middle']!r}")
    front = None if tree["front"] == ALL else _count(tree["front"], "front")
    keep, decides = (tuple(_count(at, key) for at in _list(tree, key)) for key in ("keep", "decides"))
    units = tuple(_span(one) for one in _list(tree, "units")) if "units" in tree else None
    return Layout(front, _count(tree.get("back", 0), "back"), tree.get("middle"), keep, decides, units)


def _list(tree: Mapping[str, Any], key: str) -> list[Any]:
    found = tree.get(key, [])
    if not isinstance(found, list):
        raise ValueError(f"{key}: expected a list, got {found!r}")
    return found


def _span(written: Any) -> Span:
    if not isinstance(written, list) or len(written) != 3 or not isinstance(written[2], str):
        raise ValueError(f"units: expected begin, end and kind of a unit, got {written!r}")
    return _count(written[0], "units"), _count(written[1], "units"), written[2]


def _count(value: Any, key: str) -> int:
    if type(value) is not int or not 0 <= value <= 1_000_000:
        raise ValueError(f"{key}: expected a number of blocks, got {value!r}")
    return value
