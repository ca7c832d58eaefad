"""Adapters by the beginnings of class names: yours, and those that cachedsl brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn

from cachedsl.compat.cache_dit.adapters import BlockAdapter, FakeDiffusionPipeline
from cachedsl.compat.cache_dit.families import called_once_a_branch, chained
from cachedsl.compat.cache_dit.types import pattern_of
from cachedsl.matching.adapter import TransformerAdapter
from cachedsl.matching.reading import match_transformer
from cachedsl.matching.supported import supported_pipelines as pipelines_of_adapters
from cachedsl.runtime.objects import base_class

Build = Callable[..., BlockAdapter]


class BlockAdapterRegister:
    """What knows which adapter a pipeline or transformer has.

    `@BlockAdapterRegister.register("MyPipeline")` above a function `(pipe, **kwargs) -> BlockAdapter` makes it the one
    of all classes whose names begin so; it is asked before the adapters that cachedsl brings.
    """

    _adapters: ClassVar[dict[str, Build]] = {}

    @classmethod
    def register(cls, name: str, supported: bool = True) -> Callable[[Build], Build]:
        """Return a decorator that registers a function under the beginning of class names."""

        def decorate(build: Build) -> Build:
            if supported:
                cls._adapters[name] = build
            return build

        return decorate

    @classmethod
    def own_adapter(cls, pipe_or_module: Any, **kwargs: Any) -> BlockAdapter | None:
        """Return the adapter that a registered function builds, None where none has the class's name."""
        name = base_class(pipe_or_module).__name__
        build = next((build for prefix, build in cls._adapters.items() if name.startswith(prefix)), None)
        if build is None:
            return None
        bare = isinstance(pipe_or_module, nn.Module)
        return build(FakeDiffusionPipeline(pipe_or_module) if bare else pipe_or_module, **kwargs)

    @classmethod
    def get_adapter(cls, pipe_or_module: Any, **kwargs: Any) -> BlockAdapter | None:
        """Return the adapter of a pipeline or transformer, None where none knows it.

        Raises:
            TypeError: what is given is a name.
        """
        if isinstance(pipe_or_module, str):
            raise TypeError(f"get_adapter({pipe_or_module!r}): give the pipeline or transformer itself, not its name")
        own = cls.own_adapter(pipe_or_module, **kwargs)
        if own is not None:
            return own
        known = [(module, adapter) for module in _modules(pipe_or_module) if (adapter := bundled(module)) is not None]
        if not known:
            return None
        lists = [[module.get_submodule(path) for path in adapter.stacks] for module, adapter in known]
        patterns = [[pattern_of(one.pattern) for one in adapter.stacks.values()] for _, adapter in known]
        found = BlockAdapter(
            pipe=None if isinstance(pipe_or_module, nn.Module) else pipe_or_module,
            transformer=[module for module, _ in known],
            blocks=lists,
            forward_pattern=patterns,
            has_separate_cfg=called_once_a_branch(base_class(pipe_or_module).__name__),
            **kwargs,
        )
        names = [base_class(module).__name__ for module, _ in known]
        vars(found)["chained"] = chained(base_class(pipe_or_module).__name__, names)
        return found

    @classmethod
    def has_separate_cfg(cls, pipe_or_adapter_or_module: Any) -> bool:
        """Tell whether guidance calls the transformer once for each branch, as far as an adapter says."""
        if isinstance(pipe_or_adapter_or_module, BlockAdapter):
            return pipe_or_adapter_or_module.has_separate_cfg
        adapter = cls.get_adapter(pipe_or_adapter_or_module, skip_post_init=True)
        return adapter is not None and adapter.has_separate_cfg

    @classmethod
    def is_supported(cls, pipe_or_module: Any) -> bool:
        """Tell whether an adapter knows a pipeline or transformer; others are learned at their first call."""
        return cls.get_adapter(pipe_or_module, skip_post_init=True) is not None

    @classmethod
    def supported_pipelines(cls, **kwargs: Any) -> tuple[int, list[str]]:
        """Return how many names there are, and the names: pipeline classes, and beginnings that you registered."""
        names = [*pipelines_of_adapters(), *cls._adapters]
        return len(names), names


BlockAdapterRegistry = BlockAdapterRegister
"""As the user guide of some releases spells it."""


def bundled(module: nn.Module) -> TransformerAdapter | None:
    """Return the adapter that cachedsl brings for a transformer, None where it has none."""
    return match_transformer([cls.__name__ for cls in base_class(module).__mro__])


def _modules(target: Any) -> list[nn.Module]:
    """Return the transformers of a pipeline, or the one that is given."""
    if isinstance(target, nn.Module):
        return [getattr(target, "_orig_mod", target)]
    components = getattr(target, "components", None) or vars(target)
    found = [getattr(one, "_orig_mod", one) for one in components.values() if isinstance(one, nn.Module)]
    return [one for one in found if isinstance(one, nn.Module)]


def supported_pipelines(**kwargs: Any) -> tuple[int, list[str]]:
    """Return how many pipelines there are, and their names; see `BlockAdapterRegister.supported_pipelines`."""
    return BlockAdapterRegister.supported_pipelines(**kwargs)


def get_adapter(pipe: Any) -> BlockAdapter | None:
    """Return the adapter of a pipeline or transformer, None where none knows it."""
    return BlockAdapterRegister.get_adapter(pipe)
