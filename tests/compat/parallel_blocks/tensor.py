# docs/User_Guide.md, "Hybrid Tensor Parallelism"
import cache_dit
from cache_dit import DBCacheConfig, ParallelismConfig

from tests.compat.models import flux, run

pipe_or_adapter = flux(blocks=4)
cache_dit.enable_cache(
    pipe_or_adapter,
    cache_config=DBCacheConfig(Fn_compute_blocks=1, max_warmup_steps=3, residual_diff_threshold=0.3),
    # Set tp_size > 1 to enable tensor parallelism.
    parallelism_config=ParallelismConfig(tp_size=2),
)
run(pipe_or_adapter, 7)
