# docs/user_guide/CONTEXT_PARALLEL.md, ATTENTION.md
import cache_dit
from cache_dit import DBCacheConfig, ParallelismConfig

from tests.compat.models import flux, run

pipe_or_adapter = flux(blocks=3)
cache_dit.enable_cache(
    pipe_or_adapter,
    cache_config=DBCacheConfig(Fn_compute_blocks=1, max_warmup_steps=3, residual_diff_threshold=0.3),
    # Set ulysses_size > 1 to enable ulysses style context parallelism.
    parallelism_config=ParallelismConfig(
        ulysses_size=2,
        # Set `ulysses_anything` as True to enable UAA
        ulysses_anything=True,
        parallel_kwargs={
            # flash, native(sdpa), _native_cudnn, _sdpa_cudnn, sage
            "attention_backend": "native",
        },
    ),
)
run(pipe_or_adapter, 7)
