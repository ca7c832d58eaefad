from diffusers import FirstBlockCacheConfig

pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2, treshold=0.3))
