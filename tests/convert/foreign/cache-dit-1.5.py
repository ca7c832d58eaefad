import cache_dit
from cache_dit import BlockAdapter, DBCacheConfig, ParamsModifier, TaylorSeerCalibratorConfig

config = DBCacheConfig(
    Fn_compute_blocks=1,
    residual_diff_threshold=0.2,
    steps_computation_mask=cache_dit.steps_mask(mask_policy="fast", total_steps=28),
)
adapter = BlockAdapter(
    pipe=pipe,
    transformer=pipe.transformer,
    blocks=[pipe.transformer.transformer_blocks, pipe.transformer.single_transformer_blocks],
    params_modifiers=[
        ParamsModifier(cache_config=DBCacheConfig().reset(residual_diff_threshold=0.1)),
        ParamsModifier(cache_config=DBCacheConfig().reset(Fn_compute_blokcs=2)),
    ],
)
cache_dit.enable_cache(adapter, cache_config=config, calibrator_config=TaylorSeerCalibratorConfig(taylorseer_order=2))
