# docs/user_guide/CACHE_API.md, "SCM: Steps Computation Masking"
import cache_dit
from cache_dit import DBCacheConfig, TaylorSeerCalibratorConfig

from tests.compat.models import flux, run

pipe_or_adapter = flux()

# Scheme: Hybrid DBCache + SCM + TaylorSeer
cache_dit.enable_cache(
    pipe_or_adapter,
    cache_config=DBCacheConfig(
        # Basic DBCache configs
        Fn_compute_blocks=8,
        Bn_compute_blocks=0,
        # NOTE: warmup steps is not required now!
        residual_diff_threshold=0.12,
        # LeMiCa or EasyCache style Mask for 14 steps, 1: compute, 0: cache.
        steps_computation_mask=cache_dit.steps_mask(
            # e.g: slow, medium, fast, ultra.
            mask_policy="fast",
            total_steps=14,
            # Or, you can use bins setting to get custom mask.
            # compute_bins=[6, 1, 1, 1, 1], # 10
            # cache_bins=[1, 2, 5, 5, 5], # 18
        ),
        # The policy for cache steps can be 'dynamic' or 'static'
        steps_computation_policy="dynamic",
    ),
    calibrator_config=TaylorSeerCalibratorConfig(
        taylorseer_order=1,
    ),
)
run(pipe_or_adapter, 14)
assert "".join(map(str, cache_dit.steps_mask([6, 1, 1, 1, 1], [1, 2, 5, 5, 5]))) == "1111110100100000100000100000"
