"""What a block takes, where a hook of its own parts the arguments among processes before the block sees them.

diffusers splits the tokens of some models (Wan, Qwen-Image) by a hook of the first block. On a reused step that block
does not run, and on others its twin looks at what comes in: both need what the hook makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import define
from torch import nn


@define(eq=False)
class Arrival:
    """Does what the hooks of one block do to its arguments, and then lets the block run past them.

    Attributes:
        block: the block.
        hooks: diffusers' hooks of it that split one of its streams.
    """

    block: nn.Module
    hooks: tuple[Any, ...]

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments as the block is to see them."""
        changed = dict(kwargs)
        for hook in self.hooks:
            args, changed = hook.pre_forward(self.block, *args, **changed)
        return tuple(args), changed

    def past(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return what runs the block on arguments that are split already."""

        def call(*args: Any, **kwargs: Any) -> Any:
            plans = [hook.metadata for hook in self.hooks]
            for hook in self.hooks:
                hook.metadata = {}
            try:
                return run(*args, **kwargs)
            finally:
                for hook, plan in zip(self.hooks, plans, strict=True):
                    hook.metadata = plan

        return call


def arrival(block: nn.Module, names: Collection[str]) -> Arrival | None:
    """Return what is done to a block's arguments before it runs; None where its streams, `names`, come as they are."""
    registry = block.__dict__.get("_diffusers_hook")
    hooks = () if registry is None else registry.hooks.values()
    found = [hook for hook in hooks if _splits(hook, names)]
    return Arrival(block, tuple(found)) if found else None


def _splits(hook: Any, names: Collection[str]) -> bool:
    plan = getattr(hook, "metadata", None)
    if not hasattr(hook, "parallel_config") or not isinstance(plan, Mapping):
        return False
    return any(name in names and not getattr(part, "split_output", False) for name, part in plan.items())
