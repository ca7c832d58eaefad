# README.md of 0.2: DBCache, FBCache and hybrid TaylorSeer
from cache_dit.cache_factory import CacheType, apply_cache_on_pipe

from tests.compat.models import flux, run

pipe = flux(blocks=17)

# Default options
cache_options = CacheType.default_options(CacheType.DBCache)
apply_cache_on_pipe(pipe, **cache_options)
run(pipe)

pipe = flux(blocks=17)
# Custom options, F8B8, higher precision with good performance
cache_options = {
    "cache_type": CacheType.DBCache,
    "warmup_steps": 8,
    "max_cached_steps": 8,  # -1 means no limit
    "Fn_compute_blocks": 8,  # Fn, F8, etc.
    "Bn_compute_blocks": 8,  # Bn, B8, etc.
    "residual_diff_threshold": 0.12,
    # 0, 2, 4, ..., 7, etc. [0,8)
    "Bn_compute_blocks_ids": CacheType.range(0, 8, 2),
    # If the L1 difference is below this threshold, skip Bn blocks
    # not in `Bn_compute_blocks_ids`(1, 3,..., etc), Otherwise,
    # compute these blocks.
    "non_compute_blocks_diff_threshold": 0.08,
}
apply_cache_on_pipe(pipe, **cache_options)
run(pipe)

pipe = flux(blocks=17)
cache_options = {
    # TaylorSeer options
    "enable_taylorseer": True,
    "enable_encoder_taylorseer": True,
    # Taylorseer cache type cache be hidden_states or residual.
    "taylorseer_cache_type": "residual",
    # Higher values of n_derivatives will lead to longer
    # computation time but may improve precision significantly.
    "taylorseer_kwargs": {
        "n_derivatives": 2,  # default is 2.
    },
    "warmup_steps": 3,  # n_derivatives + 1
    "residual_diff_threshold": 0.12,
}
apply_cache_on_pipe(pipe, **cache_options)
run(pipe)

pipe = flux(blocks=17)
# Using FBCache directly
cache_options = CacheType.default_options(CacheType.FBCache)
apply_cache_on_pipe(pipe, **cache_options)
run(pipe)
