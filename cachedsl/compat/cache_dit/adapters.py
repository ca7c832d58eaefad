"""`BlockAdapter`: which block lists are cached, and how their blocks take and return their streams."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, ClassVar

from torch import nn

from cachedsl.compat.cache_dit.functors import PatchFunctor
from cachedsl.compat.cache_dit.modifiers import ParamsModifier
from cachedsl.compat.cache_dit.types import ForwardPattern
from cachedsl.runtime.objects import base_class

PREFIXES = ["transformer", "single_transformer", "blocks", "layers", "single_stream_blocks", "double_stream_blocks"]
SUFFIXES = ["TransformerBlock"]


class FakeDiffusionPipeline:
    """Stands for the pipeline of a transformer that has none."""

    def __init__(self, transformer: nn.Module | None = None) -> None:
        self.transformer = transformer


@dataclasses.dataclass(frozen=True)
class BlockList:
    """One block list of a transformer: its path there, the list, and the pattern that was given for it."""

    path: str
    blocks: nn.ModuleList
    pattern: ForwardPattern


@dataclasses.dataclass(eq=False)
class BlockAdapter:
    """Which block lists of a model are cached.

    Give `pipe` and `auto=True`, and the longest list whose blocks take what `forward_pattern` says is found; or give
    `transformer`, `blocks` and `forward_pattern`, each one or a list of them. Without `pipe`, the steps of a run are
    told by `num_inference_steps` of the cache config.
    """

    pipe: Any = None
    transformer: Any = None
    blocks: Any = None
    blocks_name: Any = None
    unique_blocks_name: Any = dataclasses.field(default_factory=list)
    dummy_blocks_names: Any = dataclasses.field(default_factory=list)
    forward_pattern: Any = None
    params_modifiers: ParamsModifier | list[Any] | None = None
    check_forward_pattern: bool | None = None
    check_num_outputs: bool = False
    patch_functor: PatchFunctor | None = None
    has_separate_cfg: bool = False
    auto: bool = False
    allow_prefixes: list[str] = dataclasses.field(default_factory=PREFIXES.copy)
    check_prefixes: bool = True
    allow_suffixes: list[str] = dataclasses.field(default_factory=SUFFIXES.copy)
    check_suffixes: bool = False
    blocks_policy: str = "max"
    skip_post_init: bool = False

    chained: ClassVar[bool] = False
    """Whether the lists of each transformer form one chain; of adapters that cachedsl makes."""

    def __post_init__(self) -> None:
        if self.skip_post_init:
            return
        if self.pipe is None:
            self.pipe = FakeDiffusionPipeline()
        if self.patch_functor is not None:
            for transformer in self.transformers():
                self.patch_functor.apply(transformer)
        if self.transformer is not None and self.blocks is not None and self.blocks_name is None:
            names = [[one.path for one in lists] for _, lists in self.lists(patterns=False)]
            self.blocks_name = _as_nested(names, self.transformer, self.blocks)

    def transformers(self) -> list[nn.Module]:
        """Return the transformers, that of the pipeline where none is given. Raises `ValueError`: there is none."""
        found = self.transformer if self.transformer is not None else getattr(self.pipe, "transformer", None)
        if found is None:
            raise ValueError("BlockAdapter: there is no transformer; give `transformer`, or a `pipe` that has one")
        return list(found) if isinstance(found, list | tuple) else [found]

    def lists(self, patterns: bool = True) -> list[tuple[nn.Module, list[BlockList]]]:
        """Return each transformer with its block lists.

        Raises:
            ValueError: lists, names or patterns do not go together, or a list is not of its transformer.
        """
        if self.dummy_blocks_names:
            dummies = ", ".join(BlockAdapter.flatten(self.dummy_blocks_names))
            raise ValueError(
                f"BlockAdapter: `dummy_blocks_names` has {dummies}; no list is left out of a model here: give each "
                "list itself in `blocks`"
            )
        adapter = BlockAdapter.auto_block_adapter(self) if self.auto and self.blocks is None else self
        transformers = adapter.transformers()
        blocks = _nested(adapter.blocks, transformers, "blocks")
        given = _nested(adapter.forward_pattern, transformers, "forward_pattern", like=blocks) if patterns else None
        names = _nested(adapter.blocks_name, transformers, "blocks_name", like=blocks) if adapter.blocks_name else None
        found = []
        for i, (transformer, lists) in enumerate(zip(transformers, blocks, strict=True)):
            row = []
            for j, one in enumerate(lists):
                path = _path(transformer, one, names[i][j] if names else None)
                row.append(BlockList(path, one, given[i][j] if given else ForwardPattern.Pattern_0))
            found.append((transformer, row))
        return found

    @staticmethod
    def auto_block_adapter(adapter: BlockAdapter) -> BlockAdapter:
        """Return an adapter of the pipeline's transformer whose block list is found by its name and pattern.

        Raises:
            ValueError: something that this needs is not given, or no list matches.
        """
        if not adapter.auto:
            raise ValueError("BlockAdapter: set `auto=True`, or give `transformer`, `blocks` and `forward_pattern`")
        if isinstance(adapter.pipe, FakeDiffusionPipeline) or not hasattr(adapter.pipe, "transformer"):
            raise ValueError("BlockAdapter: `auto=True` needs a `pipe` that has a `transformer`")
        if adapter.forward_pattern is None:
            raise ValueError("BlockAdapter: `auto=True` needs a `forward_pattern`")
        blocks, name = BlockAdapter.find_match_blocks(
            adapter.pipe.transformer,
            adapter.allow_prefixes,
            adapter.allow_suffixes,
            adapter.check_prefixes,
            adapter.check_suffixes,
            blocks_policy=adapter.blocks_policy,
            forward_pattern=adapter.forward_pattern,
            check_num_outputs=adapter.check_num_outputs,
        )
        return BlockAdapter(
            pipe=adapter.pipe,
            transformer=adapter.pipe.transformer,
            blocks=blocks,
            blocks_name=name,
            forward_pattern=adapter.forward_pattern,
            params_modifiers=adapter.params_modifiers,
            has_separate_cfg=adapter.has_separate_cfg,
        )

    @staticmethod
    def find_match_blocks(
        transformer: nn.Module,
        allow_prefixes: list[str] = PREFIXES,
        allow_suffixes: list[str] = SUFFIXES,
        check_prefixes: bool = True,
        check_suffixes: bool = False,
        **kwargs: Any,
    ) -> tuple[nn.ModuleList, str]:
        """Return the longest (`blocks_policy="min"`: the shortest) block list that matches, and its name.

        Raises:
            ValueError: none matches.
        """
        pattern = kwargs.get("forward_pattern")
        found = []
        for name, blocks in _lists_of(transformer):
            named = not check_prefixes or any(name.startswith(prefix) for prefix in allow_prefixes)
            suffix = any(type(blocks[0]).__name__.endswith(one) for one in allow_suffixes)
            if not named or (check_suffixes and not suffix):
                continue
            outputs = kwargs.get("check_num_outputs", False)
            if pattern is None or BlockAdapter.match_blocks_pattern(blocks, pattern, check_num_outputs=outputs):
                found.append((name, blocks))
        if not found:
            there = ", ".join(f"{name} ({type(blocks[0]).__name__})" for name, blocks in _lists_of(transformer))
            raise ValueError(
                f"BlockAdapter: no block list of {base_class(transformer).__name__} takes {pattern and pattern.In} "
                f"under a name that begins with {', '.join(allow_prefixes)}; there are {there or 'none'}. Give `blocks`"
            )
        longest = kwargs.get("blocks_policy", "max") == "max"
        length = (max if longest else min)(len(blocks) for _, blocks in found)
        name, blocks = next((name, blocks) for name, blocks in found if len(blocks) == length)
        return blocks, name

    @staticmethod
    def find_blocks(transformer: nn.Module) -> list[nn.ModuleList]:
        """Return the block lists of a transformer, by name."""
        return [blocks for _, blocks in _lists_of(transformer)]

    @staticmethod
    def match_block_pattern(block: nn.Module, forward_pattern: ForwardPattern, **kwargs: Any) -> bool:
        """Tell whether a block takes what the pattern says and, by its annotation, returns as many tensors."""
        if not kwargs.get("check_forward_pattern", True):
            return True
        inner = getattr(block, "block", None)
        signature = inspect.signature((inner if isinstance(inner, nn.Module) else block).forward)
        returned = str(signature.return_annotation).count("torch.Tensor")
        if kwargs.get("check_num_outputs", True) and returned and returned != len(forward_pattern.Out):
            return False
        return all(name in signature.parameters for name in forward_pattern.In)

    @staticmethod
    def match_blocks_pattern(
        transformer_blocks: nn.ModuleList, forward_pattern: ForwardPattern, logging: bool = True, **kwargs: Any
    ) -> bool:
        """Tell whether all blocks match the pattern."""
        return all(BlockAdapter.match_block_pattern(one, forward_pattern, **kwargs) for one in transformer_blocks)

    @staticmethod
    def check_block_adapter(adapter: BlockAdapter) -> bool:
        """Tell whether everything that caching needs is given."""
        needed = ("pipe", "transformer", "blocks", "blocks_name", "forward_pattern")
        return all(getattr(adapter, name) is not None for name in needed)

    @staticmethod
    def normalize(adapter: BlockAdapter, unique: bool = True) -> BlockAdapter:
        """Return an adapter whose fields are lists of one list for each transformer."""
        found = adapter.lists()
        made = dataclasses.replace(
            adapter,
            transformer=[transformer for transformer, _ in found],
            blocks=[[one.blocks for one in lists] for _, lists in found],
            blocks_name=[[one.path for one in lists] for _, lists in found],
            forward_pattern=[[one.pattern for one in lists] for _, lists in found],
            auto=False,
            skip_post_init=True,
        )
        vars(made)["chained"] = adapter.chained
        return made

    @classmethod
    def nested_depth(cls, obj: Any) -> int:
        """Return how many lists are around one item: 0 for an item, 1 for a list of them, 2 for a list of lists."""
        if not isinstance(obj, list | tuple):
            return 0
        return 1 + max((cls.nested_depth(one) for one in obj), default=0)

    @classmethod
    def flatten(cls, attr: Any) -> Any:
        """Return a list of all items of nested lists; an item as it is."""
        if not isinstance(attr, list | tuple):
            return attr
        return [item for one in attr for item in (cls.flatten(one) if isinstance(one, list | tuple) else [one])]


def _lists_of(transformer: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    children = transformer.named_children()
    return sorted((name, one) for name, one in children if isinstance(one, nn.ModuleList) and len(one))


def _nested(
    value: Any, transformers: list[nn.Module], name: str, like: list[list[Any]] | None = None
) -> list[list[Any]]:
    """Return a list of one list for each transformer; what stands alone holds for all lists of `like`."""
    if value is None:
        raise ValueError(f"BlockAdapter: `{name}` is not given")
    depth = BlockAdapter.nested_depth(value)
    count = len(transformers)
    if depth == 0:
        nested = [[value]] if like is None else [[value] * len(row) for row in like]
    elif depth == 1:
        nested = [[one] for one in value] if len(value) == count and (count > 1 or like is None) else [list(value)]
    else:
        nested = [list(row) for row in value]
    if like is not None and depth == 1 and count == 1 and len(nested[0]) == 1:
        nested = [nested[0] * len(like[0])]
    rows = [len(row) for row in nested]
    wanted = rows if like is None else [len(row) for row in like]
    if len(nested) != count or rows != wanted:
        raise ValueError(
            f"BlockAdapter: `{name}` has {rows} items for {count} transformers"
            + ("" if like is None else f", and `blocks` has {wanted}")
        )
    return nested


def _as_nested(names: list[list[str]], transformer: Any, blocks: Any) -> Any:
    """Return names nested as `blocks` is."""
    depth = BlockAdapter.nested_depth(blocks)
    if depth == 2:
        return names
    flat = [name for row in names for name in row]
    return flat if depth == 1 else flat[0]


def _path(transformer: nn.Module, blocks: Any, name: str | None) -> str:
    """Return the path of a block list in its transformer. Raises `ValueError`: it is none of it."""
    if not isinstance(blocks, nn.ModuleList):
        raise ValueError(f"BlockAdapter: `blocks` has a {type(blocks).__name__}; expected a torch.nn.ModuleList")
    path: str
    for path, module in transformer.named_modules():
        if module is blocks:
            return path
    raise ValueError(
        f"BlockAdapter: a list of {len(blocks)} {type(blocks[0]).__name__} is no block list of "
        f"{base_class(transformer).__name__}" + (f" under {name!r}" if name else "")
    )
