# README.md, "Quick Start"; docs/user_guide/ATTENTION.md
import cache_dit
from cache_dit import DBCacheConfig

from tests.compat.models import flux, run

pipe = flux()
cache_dit.enable_cache(pipe, cache_config=DBCacheConfig(), attention_backend="native")
# Set custom attention backend for better performance.
cache_dit.set_attn_backend(pipe, attention_backend="native")
output = run(pipe)  # Just call the pipe as normal.
