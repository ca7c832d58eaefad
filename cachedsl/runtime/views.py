"""What a block list hands out for one call whose blocks are known: the real modules, and twins around the middle.

What a twin does is plain code that dynamo can trace: it takes streams out of arguments, runs its block or does not, and
notes tensors in the slots of the `Span`. Everything is decided before the call, or, where the decision goes by what the
front blocks show and nothing is compiled, by `Span.reach`, which is called once, before the first block of the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import define

from cachedsl.matching.patterns import Stream
from cachedsl.plan.model_shape import Joins
from cachedsl.runtime.arrival import Arrival
from cachedsl.runtime.groups import Loading
from cachedsl.runtime.held import version_of
from cachedsl.runtime.ports import Modulation, Parts, concatenated
from cachedsl.signals import Meter, StepView

STREAMS: tuple[Stream, ...] = ("hidden", "encoder")

Versions = tuple[int | None, ...]


@define(eq=False)
class Span:
    """One unit in one call: what is prepared for its blocks, and what they note.

    Attributes:
        reuse: whether its blocks are stood in for.
        adds: whether what is predicted is added to what enters; else it is what leaves.
        predicted: of each stream that is predicted, in the order of `STREAMS`.
        values: of the other streams, in that order, as they came out last.
        copies_entry: whether its blocks write into what enters.
        copies_left: whether the loop writes into what its blocks return.
        meter: of the signal, where its tap is seen inside the call.
        reach: called with what enters, before the first block; None where all is decided.
        front_entry: what entered the first front block, and `front_version` of it, where something goes by it.
        front_exit: what the last front block returned.
        modulated: the first block's modulated input.
        entry: what entered, and `versions` of it.
        left: what its last block that ran returned, where the loop may add to it.
        work: what the loop itself added to each stream on the way, in the order of inputs.
        changes: what was added to each stream, or what came out, in the order of outputs.
        last: its last block that ran or was stood in for; -1 where the unit was not reached.
        joined: what entered its later list, made of the streams that entered the first, where that is so.
        ran: how many of its blocks ran.
        stood: whether what is predicted was handed out.
        written: whether blocks wrote into what entered, to everybody's surprise; `front_written`: the front blocks.
        now: the tap.
    """

    reuse: bool = False
    adds: bool = True
    predicted: Parts = ()
    values: Parts = ()
    copies_entry: bool = False
    copies_left: bool = False
    meter: Meter | None = None
    reach: Callable[[Parts], None] | None = None
    front_entry: torch.Tensor | None = None
    front_version: Versions = ()
    front_exit: torch.Tensor | None = None
    modulated: torch.Tensor | None = None
    entry: Parts = ()
    versions: Versions = ()
    left: Parts = ()
    work: Parts = ()
    changes: Parts = ()
    joined: torch.Tensor | None = None
    last: int = -1
    ran: int = 0
    stood: bool = False
    written: bool = False
    front_written: bool = False
    now: Any = None

    def clear(self) -> None:
        """Let go of every tensor, and of what was prepared."""
        self.forget()
        self.predicted = self.values = ()
        self.meter = self.reach = None
        self.reuse = False

    def forget(self) -> None:
        """Forget what the last call noted."""
        self.entry = self.left = self.work = self.changes = ()
        self.versions = self.front_version = ()
        self.front_entry = self.front_exit = self.modulated = self.now = self.joined = None
        self.last, self.ran = -1, 0
        self.stood = self.written = self.front_written = False


@define(eq=False)
class Site:
    """One block in a view: its port, turned into constants for a graph.

    Attributes:
        span: of its unit.
        index: in the list, or in the chain of lists.
        arguments: name and position of the argument that carries each input stream.
        hidden: the place of `hidden` among the outputs.
        routes: of each output stream, name and position of the argument that it comes by, the latter -1 where it
            comes by none, its place in `STREAMS`, and its dtype.
        sources: of each output stream, its place among the inputs, or -1.
        streams: of each output stream, its place in `STREAMS`.
        before: of each input stream, its place among the outputs of the block before, or -1.
        from_entry: of each output stream, its place among the inputs of the unit's first block, or -1.
        applies: whether what the loop does before this block happens on reused steps too.
        is_tuple: whether the block returns a tuple.
        dtypes: in which it returns its streams.
        ends: whether the unit, or the front, ends with this block.
        copies_front: whether front blocks write into what enters the first of them.
        modulation: how its modulated input is had, where that is compared.
        strays: called where the block is reached on a reused step, and was not on the computed one.
        arrive: what a hook of the block makes of its arguments.
        joins: whether a list begins here whose hidden states are made of both streams of the list before, and how.
        passes: where on a reused step it hands on what it takes, the first two of `routes` in one tuple; else None.
        moved: of each output stream, whether it leaves the unit in the shape in which it entered; empty where that is
            not known. A graph goes by it: shapes that depend on data cannot be compared there.
    """

    span: Span
    index: int
    arguments: tuple[tuple[str, int], ...]
    routes: tuple[tuple[str, int, int, torch.dtype | None], ...]
    hidden: int
    sources: tuple[int, ...]
    streams: tuple[int, ...]
    before: tuple[int, ...]
    from_entry: tuple[int, ...]
    applies: bool
    is_tuple: bool
    dtypes: tuple[torch.dtype | None, ...]
    ends: bool = False
    copies_front: bool = False
    modulation: Modulation | None = None
    strays: Callable[[int], None] | None = None
    arrive: Arrival | None = None
    joins: Joins = "as_is"
    passes: tuple[Any, ...] | None = None
    moved: tuple[bool, ...] = ()


@define(eq=False)
class Member:
    """A block behind the unit, whose weights a block of the unit brings."""

    span: Span
    loading: Loading
    index: int
    arrive: Arrival | None = None


def _take(site: Site, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Parts:
    """Return the input streams of a call, None where the caller passes none."""
    taken = []
    for name, place in site.arguments:
        value = kwargs[name] if name in kwargs else args[place] if place < len(args) else None
        taken.append(value if isinstance(value, torch.Tensor) else None)
    return tuple(taken)


def _give(site: Site, parts: Sequence[torch.Tensor | None]) -> Any:
    """Return streams in the block's own output form, and in its dtypes."""
    cast = []
    for part, dtype in zip(parts, site.dtypes, strict=True):
        cast.append(None if part is None or dtype is None else part if part.dtype == dtype else part.to(dtype))
    return tuple(cast) if site.is_tuple else cast[0]


def _parts(output: Any) -> Parts:
    return (output,) if isinstance(output, torch.Tensor) else tuple(output)


def _versions(parts: Parts) -> Versions:
    return tuple([None if part is None else version_of(part) for part in parts])


def enter(site: Site, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer the first block of a unit."""
    span = site.span
    entry = _take(site, args, kwargs)
    if site.modulation is not None:
        span.modulated = site.modulation(args, kwargs)
    if span.meter is not None and entry[0] is not None:
        span.now = span.meter.look(StepView(0, entry[0], span.front_entry, span.front_exit, span.modulated))
    if span.reach is not None:
        span.reach(entry)
    if span.reuse:
        span.entry, span.work = entry, (None,) * len(entry)
        return _reused(site, entry)
    if span.copies_entry:
        entry = tuple([None if part is None else part.detach().clone() for part in entry])
    elif not torch.compiler.is_compiling():
        span.versions = _versions(entry)
    span.entry = entry
    span.work = (None,) * len(entry)
    return _ran(site, run(*args, **kwargs))


def go_on(site: Site, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer a later block of a unit."""
    span = site.span
    if span.reuse:
        if site.joins != "as_is" and not site.applies:
            _join(site)
        return _hand_on(site, args, kwargs) if site.passes is not None else _reused(site, _take(site, args, kwargs))
    if site.joins != "as_is":
        _join(site)
    elif span.last >= 0 and site.applies:
        _note_work(site, _take(site, args, kwargs))
    return _ran(site, run(*args, **kwargs))


def answer_later(twin: Any, *args: Any, **kwargs: Any) -> Any:
    """Be called as `go_on` would answer: what most blocks of a reused unit do is here, for every call costs."""
    site = twin._cachedsl_site
    if site.span.reuse and site.passes is not None:
        name, place, _, dtype, other, where, _, its = site.passes
        first = args[place] if -1 < place < len(args) else kwargs.get(name)
        if first is not None and first.dtype is dtype:
            if other is None:
                return (first,) if site.is_tuple else first
            second = args[where] if -1 < where < len(args) else kwargs.get(other)
            if second is not None and second.dtype is its:
                return first, second
    return go_on(site, twin._cachedsl_block, args, kwargs)


def _hand_on(site: Site, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return what a block takes in its own form: what most blocks of a reused unit do, so it is short."""
    parts = []
    for name, place, stream, dtype in site.routes:
        part = site.span.values[stream] if place < 0 else args[place] if place < len(args) else kwargs.get(name)
        if part is not None and part.dtype is not dtype:
            part = None if dtype is None else part.to(dtype)
        parts.append(part)
    return tuple(parts) if site.is_tuple else parts[0]


def early(site: Site, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer a block of a unit that the loop did not call when it was last looked at: no anchor comes of that."""
    if site.span.reuse and site.strays is not None:
        site.strays(site.index)
    site.span.written = True
    return run(*args, **kwargs)


def _reused(site: Site, taken: Parts) -> Any:
    span = site.span
    if site.strays is not None:
        site.strays(site.index)
    span.last = site.index
    parts: list[torch.Tensor | None] = []
    if not site.ends:
        for source, stream in zip(site.sources, site.streams, strict=True):
            parts.append(taken[source] if source >= 0 else span.values[stream])
        return _give(site, parts)
    span.stood = True
    places = site.sources if site.applies else site.from_entry
    for place, stream in zip(places, site.streams, strict=True):
        predicted, value = span.predicted[stream], span.values[stream]
        if predicted is None:  # a copy, for the next block may write into what it gets
            parts.append(None if value is None else value.clone())
        else:
            before = None if not span.adds else taken[place] if site.applies else entered(span, place)
            parts.append(predicted.clone() if before is None else before + predicted)
    return _give(site, parts)


def _ran(site: Site, output: Any) -> Any:
    span = site.span
    parts = _parts(output)
    span.last, span.ran = site.index, span.ran + 1
    if site.ends:
        if span.versions and not torch.compiler.is_compiling():
            span.written = span.written or _versions(span.entry) != span.versions
        span.changes = changes(site, parts)
        span.left = ()
    elif span.copies_left and site.applies:
        span.left = tuple([None if part is None else part.clone() for part in parts])
    else:
        span.left = parts
    return output


def _note_work(site: Site, taken: Parts) -> None:
    """Sum up what the loop itself did to a stream since the block before; on reused steps it does the like."""
    span = site.span
    work = list(span.work)
    for place, (now, source) in enumerate(zip(taken, site.before, strict=True)):
        before = span.left[source] if 0 <= source < len(span.left) else None
        if now is None or before is None or now is before or now.shape != before.shape or place >= len(work):
            continue
        known, more = work[place], now - before
        work[place] = more if known is None else known + more
    span.work = tuple(work)


def _join(site: Site) -> None:
    """Put together what enters a list that concatenates the streams of the list before, `hidden` first in `entry`."""
    span = site.span
    worked = [
        before if before is None or work is None or work.shape != before.shape else before + work
        for before, work in zip(span.entry, span.work, strict=True)
    ]
    span.joined = concatenated(site.joins, worked[0], worked[1] if len(worked) > 1 else None)
    span.work = (None,) * len(span.work)


def entered(span: Span, place: int) -> torch.Tensor | None:
    """Return what the input stream at `place` is compared with when the unit is left; -1 is none."""
    if place < 0:
        return None
    return span.entry[place] if place or span.joined is None else span.joined


def changes(site: Site, parts: Parts) -> Parts:
    """Return what the unit that ended with `site` added to each stream, or what came out."""
    span = site.span
    found: list[torch.Tensor | None] = []
    learned = bool(site.moved) and torch.compiler.is_compiling()
    for at, (place, after) in enumerate(zip(site.from_entry, parts, strict=True)):
        before = entered(span, place)
        work = span.work[place] if place >= 0 else None
        if before is not None and work is not None and (learned or work.shape == before.shape):
            before = before + work
        if after is None:
            found.append(None)
        elif before is None or not span.adds or not (site.moved[at] if learned else before.shape == after.shape):
            found.append(after.detach().clone())
        else:
            found.append((after - before).detach())
    return tuple(found)


def front(site: Site, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer the first front block, where something goes by it."""
    span = site.span
    if site.modulation is not None:
        span.modulated = site.modulation(args, kwargs)
    hidden = _take(site, args, kwargs)[0]
    if site.copies_front and hidden is not None:
        hidden = hidden.detach().clone()
    elif not torch.compiler.is_compiling():
        span.front_version = _versions((hidden,))
    span.front_entry = hidden
    output = run(*args, **kwargs)
    if site.ends:
        _front_ended(site, output)
    return output


def front_end(site: Site, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer the last front block, where something goes by it."""
    output = run(*args, **kwargs)
    _front_ended(site, output)
    return output


def member(site: Member, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer a block behind the unit, whose weights are brought here where the unit is reused."""
    if not site.span.reuse:
        return run(*args, **kwargs)
    site.loading.before(site.index)
    output = run(*args, **kwargs)
    site.loading.after(site.index)
    return output


def _front_ended(site: Site, output: Any) -> None:
    span = site.span
    span.front_exit = _parts(output)[site.hidden]
    if span.front_version and not torch.compiler.is_compiling():
        span.front_written = _versions((span.front_entry,)) != span.front_version
