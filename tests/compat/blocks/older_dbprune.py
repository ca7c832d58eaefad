# README.md of 0.2: DBPrune
from cache_dit.cache_factory import CacheType, apply_cache_on_pipe

from tests.compat.models import flux, run

pipe = flux(blocks=17)
# Using DBPrune with default options
cache_options = CacheType.default_options(CacheType.DBPrune)
apply_cache_on_pipe(pipe, **cache_options)
run(pipe)

pipe = flux(blocks=17)
# Custom options for DBPrune
cache_options = {
    "cache_type": CacheType.DBPrune,
    "residual_diff_threshold": 0.05,
    # Never prune the first `Fn` and last `Bn` blocks.
    "Fn_compute_blocks": 4,  # default 1
    "Bn_compute_blocks": 4,  # default 0
    "warmup_steps": 8,  # default -1
    # Disables the pruning strategy when the previous
    # pruned steps greater than this value.
    "max_pruned_steps": 12,  # default, -1 means no limit
    # Enable dynamic prune threshold within step
    "enable_dynamic_prune_threshold": True,
    "max_dynamic_prune_threshold": 2 * 0.05,
    "dynamic_prune_threshold_relax_ratio": 1.25,
    # The step interval to update residual cache. For example,
    # 2: means the update steps will be [0, 2, 4, ...].
    "residual_cache_update_interval": 1,
    # You can set non-prune blocks to avoid ageressive pruning.
    "non_prune_blocks_ids": [],
}
apply_cache_on_pipe(pipe, **cache_options)
run(pipe)
