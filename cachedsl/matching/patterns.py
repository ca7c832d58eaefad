"""The six ways in which transformer blocks take and return their streams."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

Stream = Literal["hidden", "encoder"]


@frozen
class Pattern:
    """What a block takes and returns.

    Attributes:
        name: as adapters spell it.
        inputs: streams that the block takes and that count as its state.
        outputs: streams in the order in which the block returns them.
        context: whether the block also reads an encoder stream that it does not return.
        number: the number that older tools use.
    """

    name: str
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    context: bool
    number: int


PATTERNS: dict[str, Pattern] = {
    p.name: p
    for p in (
        Pattern("hidden_encoder", ("hidden", "encoder"), ("hidden", "encoder"), False, 0),
        Pattern("hidden_encoder_swapped", ("hidden", "encoder"), ("encoder", "hidden"), False, 1),
        Pattern("hidden_with_context", ("hidden",), ("hidden",), True, 2),
        Pattern("hidden_only", ("hidden",), ("hidden",), False, 3),
        Pattern("hidden_makes_encoder", ("hidden",), ("hidden", "encoder"), False, 4),
        Pattern("hidden_makes_encoder_swapped", ("hidden",), ("encoder", "hidden"), False, 5),
    )
}
