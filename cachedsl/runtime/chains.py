"""Make the view of a block list, or of a chain of lists, out of what was learned of its blocks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from attrs import define, field
from torch import nn

from cachedsl.matching.patterns import Stream
from cachedsl.plan.ir import Unit
from cachedsl.runtime.arrival import arrival
from cachedsl.runtime.asking import other_blocks
from cachedsl.runtime.groups import Group, Loading, grouped
from cachedsl.runtime.ports import Ports, chain_label
from cachedsl.runtime.traits import UnitPath
from cachedsl.runtime.twins import twin
from cachedsl.runtime.views import (
    STREAMS,
    Member,
    Site,
    Span,
    answer_later,
    early,
    enter,
    front,
    front_end,
    go_on,
    member,
)


@define(eq=False)
class Chain:
    """The items of one list, or of a chain of lists, and the sites of the unit in it.

    Attributes:
        span: of the unit.
        items: what is handed out, one for each block.
        sites: of the unit's blocks, by index.
        loading: brings weights to blocks behind a unit that is reused.
        brought: groups that front blocks bring, and blocks of the unit take away.
    """

    span: Span
    items: list[Any]
    sites: dict[int, Site] = field(factory=dict)
    loading: Loading = field(factory=lambda: Loading({}))
    brought: list[Group] = field(factory=list)

    def end(self, reused: bool) -> None:
        """Take away the weights that are here because the unit was reused."""
        self.loading.end()
        for group in self.brought if reused else ():
            group.handle.offload_()


def build(
    ports: Ports,
    blocks: Sequence[nn.Module],
    unit: Unit,
    path: UnitPath,
    *,
    front_blocks: int,
    taps: bool,
    shows: bool,
    handles: tuple[Any, ...] = (),
) -> Chain:
    """Make the view of a chain.

    Args:
        ports: of its blocks.
        blocks: the real ones.
        unit: what is computed or reused as a whole.
        path: which blocks of it the loop calls.
        front_blocks: how many always run before it.
        taps: whether what the front blocks show is compared or predicted with.
        shows: whether the first block's modulated input is compared.
        handles: of the groups that the blocks' weights are brought in; empty where there are none.
    """
    span, items = Span(), list(blocks)
    chain = Chain(span, items)
    modulation = ports[0].modulation(blocks[0]) if shows else None
    for index in range(unit.start, unit.stop):
        site = _site(span, ports, blocks, index, path.first)
        site.ends = index == path.last
        if path.moved is not None:
            site.moved = tuple([stream in path.moved for stream in ports[index].declared.pattern.outputs])
        site.modulation = modulation if index == 0 else None
        if index < path.first or index > path.last or ports[index].traits.form is None:
            site.strays = functools.partial(_stray, chain_label(ports), unit, path.last)
        chain.sites[index] = site
        if path.first < index:
            begins = ports[index - 1].loop is not ports[index].loop
            site.joins = ports[index].declared.joins if begins else "as_is"
            plain = site.strays is None and not site.ends and (site.joins == "as_is" or site.applies)
            site.passes = (
                (*site.routes[0], *(site.routes[1] if len(site.routes) > 1 else (None,) * 4)) if plain else None
            )
            items[index] = twin(blocks[index], go_on, site, answer_later if site.arrive is None else None)
        else:
            items[index] = twin(blocks[index], early if index < path.first else enter, site)
    if front_blocks and (taps or shows):
        first, last = _site(span, ports, blocks, 0, 0), _site(span, ports, blocks, front_blocks - 1, 0)
        first.modulation, first.ends = modulation, front_blocks == 1
        first.copies_front = ports[0].traits.writes is not False
        if front_blocks > 1 and taps:
            items[front_blocks - 1] = twin(blocks[front_blocks - 1], front_end, last)
        items[0] = twin(blocks[0], front, first)
    _bring_weights(chain, blocks, unit, grouped(handles))
    return chain


def _bring_weights(chain: Chain, blocks: Sequence[nn.Module], unit: Unit, groups: dict[int, Group]) -> None:
    """Let blocks behind the unit have their weights where a block of the unit would have brought them."""
    chain.loading = Loading(groups)
    for index, group in groups.items():
        if group.first < unit.start <= group.last < unit.stop and index == group.first:
            chain.brought.append(group)
        if index >= unit.stop > group.first >= unit.start:
            chain.items[index] = twin(blocks[index], member, Member(chain.span, chain.loading, index))


def _site(span: Span, ports: Ports, blocks: Sequence[nn.Module], index: int, start: int) -> Site:
    port, form, block = ports[index], ports[index].traits.form, blocks[index]
    inputs, outputs = port.declared.pattern.inputs, port.declared.pattern.outputs
    returned: tuple[Stream, ...] = () if index == 0 else ports[index - 1].declared.pattern.outputs
    arguments, streams = port.arguments(block), _places(outputs, STREAMS)
    dtypes = (None,) * len(outputs) if form is None else form.dtypes
    routes = [
        (*(arguments[at] if at >= 0 else ("", -1)), stream, dtype)
        for at, stream, dtype in zip(_places(outputs, inputs), streams, dtypes, strict=True)
    ]
    return Site(
        span,
        index,
        arguments,
        tuple(routes),
        outputs.index("hidden"),
        _places(outputs, inputs),
        streams,
        _places(inputs, returned),
        _places(outputs, ports[start].declared.pattern.inputs),
        port.applies_between,
        form is not None and form.is_tuple,
        dtypes,
        arrive=arrival(block, [name for name, _ in arguments]),
    )


def _stray(label: str, unit: Unit, expected: int, at: int) -> None:
    raise other_blocks(label, unit, expected, at)


def _places(streams: Sequence[Stream], among: Sequence[Stream]) -> tuple[int, ...]:
    return tuple(among.index(stream) if stream in among else -1 for stream in streams)
