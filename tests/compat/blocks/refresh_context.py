# docs/user_guide/CACHE_API.md, "Transformer-Only Interface", another step count for each request
import cache_dit
from cache_dit import DBCacheConfig

from tests.compat.models import qwen_image, run

# Init cache context with num_inference_steps=None (default)
pipe = qwen_image()
cache_dit.enable_cache(pipe.transformer, cache_config=DBCacheConfig(num_inference_steps=None))

# Assume num_inference_steps is 11, and we want to refresh the context
cache_dit.refresh_context(pipe.transformer, num_inference_steps=11, verbose=True)
output = run(pipe, 11)  # Just call the pipe as normal.
stats = cache_dit.summary(pipe.transformer)  # Then, get the summary

# Update the cache context with new num_inference_steps=12.
cache_dit.refresh_context(pipe.transformer, num_inference_steps=12, verbose=True)
output = run(pipe, 12)  # Just call the pipe as normal.
stats = cache_dit.summary(pipe.transformer)  # Then, get the summary

# Update the cache context with new cache_config.
cache_dit.refresh_context(
    pipe.transformer,
    cache_config=DBCacheConfig(
        residual_diff_threshold=0.1,
        max_warmup_steps=10,
        max_cached_steps=20,
        max_continuous_cached_steps=4,
        # The cache settings should all be located in the cache config
        # if cache config is provided. Otherwise, we will skip it.
        num_inference_steps=12,
    ),
    verbose=True,
)
output = run(pipe, 12)  # Just call the pipe as normal.
stats = cache_dit.summary(pipe.transformer)  # Then, get the summary
