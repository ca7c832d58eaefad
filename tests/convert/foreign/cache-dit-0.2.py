from cache_dit.cache_factory import CacheType, apply_cache_on_pipe

cache_options = {
    "cache_type": CacheType.DBPrune,
    "warmup_steps": 8,
    "max_pruned_steps": 8,
    "Fn_compute_blocks": 8,
    "residual_diff_threshold": 0.12,
    "non_prune_blocks_ids": [3, 5],
    "residual_cache_update_interval": 2,
}
apply_cache_on_pipe(pipe, **cache_options)
