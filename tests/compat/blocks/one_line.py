# docs/user_guide/CACHE_API.md, "Cache Acceleration with One-line Code"; README.md; diffusers' cache_dit.md
import cache_dit

from tests.compat.models import qwen_image, run

# Can be any diffusion pipeline
pipe = qwen_image()
# One-line code with default cache options.
cache_dit.enable_cache(pipe)
# Just call the pipe as normal.
output = run(pipe)
# Then, get the summary of cache acceleration stats.
stats = cache_dit.summary(pipe)
# Disable cache and run original pipe.
cache_dit.disable_cache(pipe)
output = run(pipe)
