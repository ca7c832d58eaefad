"""Streams that are kept while blocks run, and what is seen of them afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen

from cachedsl.matching.patterns import Stream
from cachedsl.runtime.ports import Port, Streams


@frozen
class Held:
    """Streams as they entered a block, to be compared with what its unit returns.

    Attributes:
        port: of the block.
        given: the tensors that came, and their versions.
        streams: the same to go by, copies where the blocks may write into them.
        copied: whether they are copies.
    """

    port: Port
    given: Mapping[Stream, tuple[torch.Tensor, int | None]]
    streams: Streams
    copied: bool

    def written(self) -> bool:
        """Tell whether what came was written into since."""
        return any(_written(now, version, self.streams[name]) for name, (now, version) in self.given.items())


def hold(port: Port, streams: Streams, *, exact: bool) -> Held:
    """Keep what enters a block, copied unless it has been seen that nothing writes into it; never where `exact`."""
    copied = not exact and port.traits.writes is not False
    given = {name: (t, version_of(t)) for name, t in streams.items() if t is not None}
    safe = {name: None if t is None else t.detach().clone() for name, t in streams.items()} if copied else streams
    return Held(port, given, safe, copied)


def worked(entry: Streams, added: Mapping[Stream, torch.Tensor]) -> Streams:
    """Return what entered a unit, with what the loop did to it on the way."""
    streams = dict(entry)
    for name, work in added.items():
        before = entry.get(name)
        if before is not None and before.shape == work.shape:
            streams[name] = before + work
    return streams


def added(entry: Streams, after: Streams) -> Streams:
    """Return what was added to every stream, or the stream itself where it did not enter in its shape."""
    changes: Streams = {}
    for name, now in after.items():
        before = entry.get(name)
        moves = now is not None and before is not None and before.shape == now.shape
        if now is None:
            changes[name] = None
        else:
            changes[name] = (now - before).detach() if moves else now.detach().clone()  # type: ignore[operator]
    return changes


def version_of(tensor: torch.Tensor) -> int | None:
    """Return what goes up with every write into `tensor`; None in inference mode, which does not count them."""
    return None if tensor.is_inference() else tensor._version


def _written(now: torch.Tensor, version: int | None, before: torch.Tensor | None) -> bool:
    """Tell whether a tensor was written into since it had `version`; without one, by `before`, where it is a copy."""
    if version is not None:
        return version != now._version
    return before is not now and before is not None and not torch.equal(now, before)
