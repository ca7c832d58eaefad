# docs/user_guide/CACHE_API.md, "TaylorSeer", "DMD" and "FoCa"; diffusers' cache_dit.md
import cache_dit
from cache_dit import DBCacheConfig, DMDCalibratorConfig, FoCaCalibratorConfig, TaylorSeerCalibratorConfig

from tests.compat.models import flux, run

pipe = pipe_or_adapter = flux(blocks=17)

cache_dit.enable_cache(
    pipe_or_adapter,
    # Basic DBCache w/ FnBn configurations
    cache_config=DBCacheConfig(
        max_warmup_steps=8,  # steps do not cache
        max_cached_steps=-1,  # -1 means no limit
        Fn_compute_blocks=8,  # Fn, F8, etc.
        Bn_compute_blocks=8,  # Bn, B8, etc.
        residual_diff_threshold=0.12,
    ),
    # Then, you can use the TaylorSeer Calibrator to approximate
    # the values in cached steps, taylorseer_order default is 1.
    calibrator_config=TaylorSeerCalibratorConfig(
        taylorseer_order=1,
    ),
)
run(pipe)
cache_dit.disable_cache(pipe)

# DBCache + DMD Calibrator for flow-matching models
cache_dit.enable_cache(
    pipe,
    cache_config=DBCacheConfig(
        max_warmup_steps=8,
        max_cached_steps=-1,
        Fn_compute_blocks=8,
        Bn_compute_blocks=0,  # Bn=0 since DMD replaces Bn calibrator
        residual_diff_threshold=0.12,
    ),
    calibrator_config=DMDCalibratorConfig(
        dmd_history=6,  # snapshot window length (5-6 typical)
        dmd_rank=0,  # 0 = automatic SVD rank selection
        dmd_ridge=1e-8,  # Tikhonov regularisation
    ),
)
run(pipe)
cache_dit.disable_cache(pipe)

# DBCache + FoCa Calibrator (zero-config)
cache_dit.enable_cache(
    pipe,
    cache_config=DBCacheConfig(
        max_warmup_steps=8,
        max_cached_steps=-1,
        Fn_compute_blocks=1,
        Bn_compute_blocks=0,  # Bn=0 since FoCa replaces Bn calibrator
        residual_diff_threshold=0.12,
    ),
    calibrator_config=FoCaCalibratorConfig(),
)
run(pipe)
