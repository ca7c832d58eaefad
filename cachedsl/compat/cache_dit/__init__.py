"""cache-dit's interface on top of cachedsl: code written for it runs by changing its import, and decides alike.

```python
import cachedsl.compat.cache_dit as cache_dit

cache_dit.enable_cache(pipe, cache_config=cache_dit.DBCacheConfig(Fn_compute_blocks=1, residual_diff_threshold=0.12))
image = pipe(prompt, num_inference_steps=28).images[0]
cache_dit.summary(pipe)
print(cache_dit.policy_of(pipe).to_yaml())   # the policy that it came to, to go on with
```

Every public name of cache-dit 1.5.3 is here, and those of its older releases that its guides used. What cannot be
carried over raises and says what to use; docs/from-cache-dit.md has the list.
"""

from __future__ import annotations

from typing import Any

from cachedsl.compat.cache_dit import metrics
from cachedsl.compat.cache_dit.absent import ABSENT, NotCarriedOver, refusing
from cachedsl.compat.cache_dit.adapters import BlockAdapter, FakeDiffusionPipeline
from cachedsl.compat.cache_dit.attention import set_attn_backend
from cachedsl.compat.cache_dit.cache_factory import apply_cache_on_pipe
from cachedsl.compat.cache_dit.compiling import set_compile_configs
from cachedsl.compat.cache_dit.configs import (
    BasicCacheConfig,
    CalibratorConfig,
    DBCacheConfig,
    DBPruneConfig,
    DMDCalibratorConfig,
    ExtraCacheConfig,
    FoCaCalibratorConfig,
    TaylorSeerCalibratorConfig,
)
from cachedsl.compat.cache_dit.functors import PatchFunctor
from cachedsl.compat.cache_dit.interface import disable_cache, enable_cache, policy_of, refresh_context, steps_mask
from cachedsl.compat.cache_dit.loading import (
    load_attn_backend_config,
    load_cache_config,
    load_configs,
    load_options,
    load_parallelism_config,
    load_quantize_config,
)
from cachedsl.compat.cache_dit.modifiers import ParamsModifier
from cachedsl.compat.cache_dit.parallelism import ParallelismBackend, ParallelismConfig
from cachedsl.compat.cache_dit.quantization import QuantizeBackend, QuantizeConfig
from cachedsl.compat.cache_dit.registry import (
    BlockAdapterRegister,
    BlockAdapterRegistry,
    get_adapter,
    supported_pipelines,
)
from cachedsl.compat.cache_dit.runtime import quantize
from cachedsl.compat.cache_dit.stats import CacheStats, strify, summary, supported_matrix
from cachedsl.compat.cache_dit.types import CacheType, ForwardPattern, block_range, cache_type, default_options

__version__ = "1.5.3"
version_tuple = (1, 5, 3)
"""The release of cache-dit whose interface this is."""

NONE, DBCache, DBPrune = CacheType.NONE, CacheType.DBCache, CacheType.DBPrune
Pattern_0, Pattern_1, Pattern_2 = ForwardPattern.Pattern_0, ForwardPattern.Pattern_1, ForwardPattern.Pattern_2
Pattern_3, Pattern_4, Pattern_5 = ForwardPattern.Pattern_3, ForwardPattern.Pattern_4, ForwardPattern.Pattern_5

__all__ = [
    "BasicCacheConfig",
    "BlockAdapter",
    "BlockAdapterRegister",
    "BlockAdapterRegistry",
    "CacheStats",
    "CacheType",
    "CalibratorConfig",
    "DBCacheConfig",
    "DBPruneConfig",
    "DMDCalibratorConfig",
    "ExtraCacheConfig",
    "FakeDiffusionPipeline",
    "FoCaCalibratorConfig",
    "ForwardPattern",
    "NotCarriedOver",
    "ParallelismBackend",
    "ParallelismConfig",
    "ParamsModifier",
    "PatchFunctor",
    "QuantizeBackend",
    "QuantizeConfig",
    "TaylorSeerCalibratorConfig",
    "apply_cache_on_pipe",
    "block_range",
    "cache_type",
    "default_options",
    "disable_cache",
    "enable_cache",
    "get_adapter",
    "load_attn_backend_config",
    "load_cache_config",
    "load_configs",
    "load_options",
    "load_parallelism_config",
    "load_quantize_config",
    "metrics",
    "policy_of",
    "quantize",
    "refresh_context",
    "set_attn_backend",
    "set_compile_configs",
    "steps_mask",
    "strify",
    "summary",
    "supported_matrix",
    "supported_pipelines",
]


def __getattr__(name: str) -> Any:
    if name in ABSENT:
        return refusing(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
