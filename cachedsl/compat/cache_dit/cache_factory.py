"""Names of releases before 1.0: `from cache_dit.cache_factory import apply_cache_on_pipe, CacheType`."""

from __future__ import annotations

from typing import Any

from cachedsl.compat.cache_dit.adapters import BlockAdapter
from cachedsl.compat.cache_dit.interface import enable_cache
from cachedsl.compat.cache_dit.loading import load_options
from cachedsl.compat.cache_dit.modifiers import ParamsModifier
from cachedsl.compat.cache_dit.types import CacheType, ForwardPattern, block_range, cache_type, default_options

__all__ = [
    "BlockAdapter",
    "CacheType",
    "ForwardPattern",
    "ParamsModifier",
    "apply_cache_on_pipe",
    "block_range",
    "cache_type",
    "default_options",
    "enable_cache",
    "load_options",
]


def apply_cache_on_pipe(pipe: Any, *args: Any, **kwargs: Any) -> Any:
    """Cache a pipeline by the options of older releases, by default `CacheType.default_options(CacheType.DBCache)`.

    Args:
        pipe: a diffusers pipeline.
        **kwargs: options, such as `cache_type`, `warmup_steps`, `Fn_compute_blocks` and `taylorseer_kwargs`.

    Returns:
        The pipeline; uncached for `CacheType.NONE`.

    Raises:
        ConversionError: an option cannot be carried over.
        TypeError: there is no such option.
    """
    if args:
        raise TypeError(f"apply_cache_on_pipe() takes options by name, got {len(args)} without")
    kind = CacheType.type(kwargs.pop("cache_type", CacheType.DBCache))
    if kind is CacheType.NONE:
        return pipe
    options = kwargs or {name: value for name, value in default_options(kind).items() if name != "cache_type"}
    return enable_cache(pipe, cache_type=kind.value, **options)
