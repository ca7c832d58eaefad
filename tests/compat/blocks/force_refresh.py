# docs/user_guide/CACHE_API.md, "MCC: Multiple Cache Contexts within a single Denoising Loop"
import cache_dit
from cache_dit import DBCacheConfig

from tests.compat.models import flux, run

pipe_or_adapter = flux()

# Helios-14B
cache_dit.enable_cache(
    pipe_or_adapter,
    # Cache config with force refresh hint and policy for Helios-14B.
    cache_config=DBCacheConfig(
        Fn_compute_blocks=1,
        max_warmup_steps=4,
        force_refresh_step_hint=7,
        force_refresh_step_policy="repeat",
    ),
)
run(pipe_or_adapter, 14)
cache_dit.disable_cache(pipe_or_adapter)

# GLM-Image
cache_dit.enable_cache(
    pipe_or_adapter,
    # Cache config with force refresh hint and policy for GLM-Image.
    cache_config=DBCacheConfig(
        Fn_compute_blocks=1,
        max_warmup_steps=4,
        force_refresh_step_hint=1,
        force_refresh_step_policy="once",
    ),
)
run(pipe_or_adapter, 14)
