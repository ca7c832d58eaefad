# docs/user_guide/CACHE_API.md, "DBPrune"
import cache_dit
from cache_dit import DBPruneConfig

from tests.compat.models import flux, run

pipe_or_adapter = flux()

cache_dit.enable_cache(
    pipe_or_adapter,
    cache_config=DBPruneConfig(
        max_warmup_steps=8,  # steps do not apply prune
        residual_diff_threshold=0.12,
        enable_dynamic_prune_threshold=True,
    ),
)
run(pipe_or_adapter)
stats = cache_dit.summary(pipe_or_adapter)
assert stats[0].pruned_ratio is not None
cache_dit.disable_cache(pipe_or_adapter)

cache_dit.enable_cache(
    pipe_or_adapter,
    cache_config=DBPruneConfig(
        max_warmup_steps=8,  # steps do not apply prune
        Fn_compute_blocks=4,  # Fn, F4, etc.
        Bn_compute_blocks=4,  # Bn, B4, etc
        residual_diff_threshold=0.12,
        enable_dynamic_prune_threshold=True,
        non_prune_block_ids=list(range(6, 9)),
    ),
)
run(pipe_or_adapter)
