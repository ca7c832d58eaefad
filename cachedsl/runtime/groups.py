"""Blocks whose weights are brought and taken away together: diffusers' `enable_group_offload`.

The hook of a group's first block brings the weights of all, that of its last block takes them away. Where a policy lets
only some of them run, the others of the group need what those two hooks would have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from attrs import define, field, frozen
from torch import nn

_HOOK = "group_offloading"


@frozen(eq=False)
class Group:
    """Several blocks of one chain.

    Attributes:
        handle: diffusers' group, which brings and takes away weights by `onload_` and `offload_`.
        first: the index of the block whose hook brings them.
        last: the index of the block whose hook takes them away.
    """

    handle: Any
    first: int
    last: int


def find_handles(blocks: Sequence[nn.Module]) -> tuple[Any, ...]:
    """Return the group of each block, None where it is alone or has its weights; empty where all are."""
    found = tuple([_handle(block) for block in blocks])
    return found if any(handle is not None for handle in found) else ()


def _handle(block: nn.Module) -> Any:
    inside = block._modules.get("_orig_mod")
    registry = (block if inside is None else inside).__dict__.get("_diffusers_hook")
    hook = None if registry is None else registry.get_hook(_HOOK)
    return hook.group if hook is not None and len(hook.group.modules) > 1 else None


def grouped(handles: Sequence[Any]) -> dict[int, Group]:
    """Return the groups by the index of each block in them."""
    members: dict[int, list[int]] = {}
    for index, handle in enumerate(handles):
        if handle is not None:
            members.setdefault(id(handle), []).append(index)
    made = {key: Group(handles[indices[0]], indices[0], indices[-1]) for key, indices in members.items()}
    return {index: made[key] for key, indices in members.items() for index in indices}


@define(eq=False)
class Loading:
    """Sees to it that a block that runs has its weights, in one pass over a chain whose other blocks may not run."""

    groups: dict[int, Group]
    _here: list[Group] = field(factory=list)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before(self, index: int) -> None:
        """Bring the weights of block `index`, which is about to run."""
        group = self.groups.get(index)
        if group is None or group in self._here:
            return
        if index != group.first:  # else its own hook does it
            bring(group)
        self._here.append(group)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def after(self, index: int) -> None:
        """Take note that block `index` has run."""
        group = self.groups.get(index)
        if group is not None and index == group.last and group in self._here:
            self._here.remove(group)  # its own hook has taken them away

    def end(self) -> None:
        """Take away what no hook has taken away, for its block did not run."""
        for group in self._here:
            group.handle.offload_()
        self._here = []


def bring(group: Group) -> None:
    """Bring a group's weights, and wait for them where they come by a stream."""
    group.handle.onload_()
    if group.handle.stream is not None:
        group.handle.stream.synchronize()
