"""The processes that share a run: what they measure is added up over all of them, and what decides is the same on each.

Sums go from rank to rank as they are, and each rank adds them up in the same order, so that the totals are the same
to the last bit whatever the collective library does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from attrs import define, field
from torch import nn

from cachedsl.engines.base import EngineRefused
from cachedsl.signals import Ranks
from cachedsl.text.finding import CachedslError


class RanksDisagree(CachedslError):
    """The processes that share a run came to different verdicts; raised on all of them, where `verify` is asked for."""


def ranks_of_group(group: Any, *, share_items: bool = True, verify: bool = False) -> Ranks | None:
    """Return the ranks of a process group; None where there is one.

    Args:
        group: a `torch.distributed.ProcessGroup`, of which this process is a member.
        share_items: whether they hold parts of the same items of a batch, or the same parts; False where each has
            items of its own.
        verify: whether they compare every verdict, at the price of waiting for each other each time.
    """
    size = dist.get_world_size(group)
    if size == 1:
        return None

    def add_up(parts: torch.Tensor) -> torch.Tensor:
        parts = parts.detach().contiguous()
        everybody = [torch.empty_like(parts) for _ in range(size)]
        dist.all_gather(everybody, parts, group=group)
        return torch.stack(everybody).sum(0)

    def first(value: Any) -> Any:
        box = [value]
        dist.broadcast_object_list(box, src=dist.get_global_rank(group, 0), group=group)
        return box[0]

    def compare(verdict: str) -> None:
        told: list[Any] = [None] * size
        dist.all_gather_object(told, verdict, group=group)
        if len(set(told)) > 1:
            said = "; ".join(f"rank {dist.get_global_rank(group, place)}: {one}" for place, one in enumerate(told))
            raise RanksDisagree(
                f"the processes of one run have come to different verdicts ({said}); they must get the same calls, "
                "with the same arguments, and have the same weights and the same policy"
            )

    return Ranks(add_up, share_items, first, compare if verify else None)


def ranks_given(group: Any, verify: bool = False) -> Ranks | None:
    """Return the ranks that a caller names: a process group, or what adds up by other means; None where he does not.

    Raises:
        EngineRefused: it is neither, or a group that this process is not in.
    """
    if group is None or isinstance(group, Ranks):
        return group
    if not isinstance(group, dist.ProcessGroup):
        raise EngineRefused(
            f"group: expected a torch.distributed.ProcessGroup or a cachedsl.engines.Ranks, got {type(group).__name__}"
            " (a group that this process is not in is none)"
        )
    return ranks_of_group(group, verify=verify)


@define(eq=False)
class FindRanks:
    """Returns the ranks that share a model, as diffusers' `enable_parallelism` has left it; None for one that is whole.

    Attributes:
        verify: whether they compare every verdict.
    """

    verify: Callable[[], bool] = lambda: False
    _known: dict[int, tuple[Any, Ranks | None]] = field(factory=dict)

    def __call__(self, module: nn.Module) -> Ranks | None:
        config = getattr(module, "_parallel_config", None)
        if config is None:
            return None
        known = self._known.get(id(config))
        if known is None:  # the configuration is kept, so that its id stays its own
            group = group_of(config)
            ranks = None if group is None else ranks_of_group(group, verify=self.verify())
            known = self._known[id(config)] = (config, ranks)
        return known[1]


def group_of(config: Any) -> Any:
    """Return the process group that a `ParallelConfig` of diffusers stands for; None where it is not set up."""
    tokens = getattr(config, "context_parallel_config", None)
    mesh = getattr(tokens, "_flattened_mesh", None)
    if mesh is None:
        mesh = getattr(getattr(config, "tensor_parallel_config", None), "_mesh", None)
    return None if mesh is None else mesh.get_group()
