# docs/user_guide/CACHE_API.md, "DBCache"; diffusers' cache_dit.md has BasicCacheConfig
import cache_dit

from tests.compat.models import flux, run

pipe_or_adapter = flux(blocks=17)

# Default options, F8B0, 8 warmup steps, and unlimited cached
# steps for good balance between performance and precision
cache_dit.enable_cache(pipe_or_adapter)
run(pipe_or_adapter)
cache_dit.disable_cache(pipe_or_adapter)

# Custom options, F8B8, higher precision
from cache_dit import BasicCacheConfig, DBCacheConfig  # noqa: E402

for config in (DBCacheConfig, BasicCacheConfig):
    cache_dit.enable_cache(
        pipe_or_adapter,
        cache_config=config(
            max_warmup_steps=8,  # steps do not cache
            max_cached_steps=-1,  # -1 means no limit
            Fn_compute_blocks=8,  # Fn, F8, etc.
            Bn_compute_blocks=8,  # Bn, B8, etc.
            residual_diff_threshold=0.12,
        ),
    )
    run(pipe_or_adapter)
    cache_dit.disable_cache(pipe_or_adapter)
