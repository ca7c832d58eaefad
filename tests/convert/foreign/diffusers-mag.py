from diffusers.hooks import MagCacheConfig, apply_mag_cache
from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

config = MagCacheConfig(threshold=0.1, max_skip_steps=3, mag_ratios=FLUX_MAG_RATIOS)
apply_mag_cache(transformer, config)
