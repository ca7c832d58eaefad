"""What `enable_cache` is given, as cachedsl takes it: what a policy is applied to, and its adapter."""

from __future__ import annotations

import inspect
from typing import Any

from attrs import evolve, frozen
from torch import nn

from cachedsl.compat.cache_dit.adapters import BlockAdapter, BlockList, FakeDiffusionPipeline
from cachedsl.compat.cache_dit.families import chained
from cachedsl.compat.cache_dit.notices import logger
from cachedsl.compat.cache_dit.registry import BlockAdapterRegister, bundled
from cachedsl.matching.adapter import Adapter, StackAdapter, TransformerAdapter
from cachedsl.runtime.objects import base_class


@frozen
class Target:
    """One thing that a policy is applied to.

    Attributes:
        attached: the pipeline, or the bare transformer.
        adapter: says how its blocks are called; None where cachedsl's own adapters say it, or its first call.
        stacks: its block lists in the order in which modifiers go by them, each as `transformer.list`.
        idle: `transformer.*` of those that are not to be cached.
        components: its modules by name; of a bare transformer, itself as `transformer`.
        driven: the names of its transformers.
        joined: whether the block lists of each transformer form one chain.
        separate_cfg: whether the adapter was told that guidance calls the transformer once for each branch.
    """

    attached: Any
    components: dict[str, nn.Module]
    driven: tuple[str, ...]
    adapter: Adapter | None = None
    stacks: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    separate_cfg: bool = False
    joined: bool = False

    @property
    def bare(self) -> bool:
        """Whether it is a transformer without its pipeline, whose steps nobody tells."""
        return isinstance(self.attached, nn.Module)


def targets_of(given: Any) -> list[Target]:
    """Return what policies are applied to for a pipeline, a transformer or a `BlockAdapter`.

    Raises:
        TypeError: it is none of these.
        ValueError: the `BlockAdapter` does not hold.
    """
    if isinstance(given, BlockAdapter):
        return _of_adapter(given)
    pipeline = not isinstance(given, nn.Module) and hasattr(given, "components") and callable(given)
    if not pipeline and not isinstance(given, nn.Module):
        raise TypeError(
            f"enable_cache() takes a diffusers pipeline, a transformer or a BlockAdapter, got {type(given).__name__}"
        )
    own = BlockAdapterRegister.own_adapter(given)
    if own is not None:
        if isinstance(own.pipe, FakeDiffusionPipeline) and pipeline:
            own.pipe = given
        return _of_adapter(own)
    components = _components(given)
    known = {name: adapter for name, module in components.items() if (adapter := bundled(module)) is not None}
    joined = chained(base_class(given).__name__, [base_class(components[name]).__name__ for name in known])
    lists = [(name, "+".join(one.stacks)) for name, one in known.items()] if joined else []
    lists = lists or [(name, path) for name, adapter in known.items() for path in adapter.stacks]
    stacks = tuple(f"{name}.{path}" for name, path in lists)
    driven = tuple(known) or (("transformer",) if "transformer" in components else ())
    return [Target(given, components, driven, stacks=stacks, joined=joined)]


def _of_adapter(given: BlockAdapter) -> list[Target]:
    lists = given.lists()
    pipe = given.pipe
    if isinstance(pipe, FakeDiffusionPipeline) or not (hasattr(pipe, "components") and callable(pipe)):
        return [
            Target(
                module,
                {"transformer": module},
                ("transformer",),
                _adapter([(module, rows)], given),
                _stacks("transformer", rows, given.chained),
                separate_cfg=given.has_separate_cfg,
                joined=given.chained,
            )
            for module, rows in lists
        ]
    components = _components(pipe)
    names = {id(module): name for name, module in components.items()}
    missing = [base_class(module).__name__ for module, _ in lists if id(module) not in names]
    if missing:
        raise ValueError(
            f"BlockAdapter: {', '.join(missing)} is no component of {base_class(pipe).__name__}; give its own "
            "`transformer`, or leave `pipe` out"
        )
    asked = [names[id(module)] for module, _ in lists]
    others = [name for name, module in components.items() if name not in asked and _same_class(module, lists)]
    return [
        Target(
            pipe,
            components,
            tuple(asked),
            _adapter(lists, given),
            tuple(name for module, rows in lists for name in _stacks(names[id(module)], rows, given.chained)),
            tuple(f"{name}.*" for name in others),
            separate_cfg=given.has_separate_cfg,
            joined=given.chained,
        )
    ]


def _stacks(component: str, rows: list[BlockList], chained: bool) -> tuple[str, ...]:
    """Return the names of block lists as the policy has them; a chain goes by those of its lists."""
    paths = [row.path for row in rows]
    return tuple(f"{component}.{path}" for path in (["+".join(paths)] if chained else paths))


def _components(target: Any) -> dict[str, nn.Module]:
    found = {"transformer": target} if isinstance(target, nn.Module) else target.components
    plain = {name: getattr(module, "_orig_mod", module) for name, module in found.items()}
    return {name: module for name, module in plain.items() if isinstance(module, nn.Module)}


def _same_class(module: nn.Module, lists: list[tuple[nn.Module, list[BlockList]]]) -> bool:
    return base_class(module) in {base_class(one) for one, _ in lists} or bundled(module) is not None


def _adapter(lists: list[tuple[nn.Module, list[BlockList]]], given: BlockAdapter) -> Adapter:
    """Return an adapter of these lists. Raises `ValueError`: two transformers of one class have other lists."""
    found: dict[str, TransformerAdapter] = {}
    for module, rows in lists:
        name = base_class(module).__name__
        made = _transformer(module, rows, given)
        if found.setdefault(name, made) != made:
            raise ValueError(
                f"BlockAdapter: two transformers are {name}, and the block lists of one are not the other's"
            )
    return Adapter(family="-".join(found).lower(), transformers=found)


def _transformer(module: nn.Module, rows: list[BlockList], given: BlockAdapter) -> TransformerAdapter:
    known = bundled(module)
    if known is None:
        stacks = {row.path: _stack(row) for row in rows}
        return TransformerAdapter(cfg="separate" if given.has_separate_cfg else "fused", stacks=stacks)
    order = list(known.stacks)
    rows = sorted(rows, key=lambda row: order.index(row.path) if row.path in order else len(order))
    return evolve(known, stacks={row.path: _known(known, row, module) for row in rows})


def _known(known: TransformerAdapter, row: BlockList, module: nn.Module) -> StackAdapter:
    """Return how cachedsl knows that a list is called; the pattern that was given is compared with it."""
    stack = known.stacks.get(row.path)
    if stack is None:
        return _stack(row)
    if stack.pattern != row.pattern.value:
        logger.warning(
            "%s.%s: blocks are called as cachedsl knows them, %s, and not by %s",
            base_class(module).__name__,
            row.path,
            stack.pattern,
            row.pattern.name,
        )
    return stack


def _stack(row: BlockList) -> StackAdapter:
    """Return how a list of your own is called: by the arguments of the pattern's names, else by the first ones."""
    block = row.blocks[0]
    inner = getattr(block, "block", None)
    signature = inspect.signature((inner if isinstance(inner, nn.Module) else block).forward)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [name for name, one in signature.parameters.items() if one.kind in kinds]
    taken = [name if name in names or at >= len(names) else names[at] for at, name in enumerate(row.pattern.In)]
    if len(taken) == 1:
        return StackAdapter(pattern=row.pattern.value, hidden=taken[0])
    return StackAdapter(pattern=row.pattern.value, hidden=taken[0], encoder=taken[1])
