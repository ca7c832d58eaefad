from nunchaku.caching.diffusers_adapters import apply_cache_on_pipe

apply_cache_on_pipe(
    pipe, use_double_fb_cache=True, residual_diff_threshold_multi=0.09, residual_diff_threshold_single=0.12
)
