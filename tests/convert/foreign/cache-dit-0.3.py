import cache_dit

cache_dit.enable_cache(
    pipe,
    Fn_compute_blocks=8,
    Bn_compute_blocks=8,
    max_warmup_steps=4,
    residual_diff_threshold=0.12,
    enable_spearate_cfg=True,
    enable_taylorseer=True,
    enable_encoder_taylorseer=True,
    taylorseer_order=1,
)
