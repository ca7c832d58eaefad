"""`cache_dit.caching`, for imports that name it."""

from cachedsl.compat.cache_dit.adapters import BlockAdapter, FakeDiffusionPipeline
from cachedsl.compat.cache_dit.configs import (
    BasicCacheConfig,
    CalibratorConfig,
    DBCacheConfig,
    DBPruneConfig,
    DMDCalibratorConfig,
    FoCaCalibratorConfig,
    TaylorSeerCalibratorConfig,
)
from cachedsl.compat.cache_dit.functors import PatchFunctor
from cachedsl.compat.cache_dit.interface import disable_cache, enable_cache, refresh_context, steps_mask
from cachedsl.compat.cache_dit.loading import load_configs, load_options
from cachedsl.compat.cache_dit.modifiers import ParamsModifier
from cachedsl.compat.cache_dit.registry import (
    BlockAdapterRegister,
    BlockAdapterRegistry,
    get_adapter,
    supported_pipelines,
)
from cachedsl.compat.cache_dit.types import CacheType, ForwardPattern, block_range, cache_type

__all__ = [
    "BasicCacheConfig",
    "BlockAdapter",
    "BlockAdapterRegister",
    "BlockAdapterRegistry",
    "CacheType",
    "CalibratorConfig",
    "DBCacheConfig",
    "DBPruneConfig",
    "DMDCalibratorConfig",
    "FakeDiffusionPipeline",
    "FoCaCalibratorConfig",
    "ForwardPattern",
    "ParamsModifier",
    "PatchFunctor",
    "TaylorSeerCalibratorConfig",
    "block_range",
    "cache_type",
    "disable_cache",
    "enable_cache",
    "get_adapter",
    "load_configs",
    "load_options",
    "refresh_context",
    "steps_mask",
    "supported_pipelines",
]
