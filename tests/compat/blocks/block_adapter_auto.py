# docs/user_guide/CACHE_API.md, "Automatic Block Adapter"; diffusers' cache_dit.md
import cache_dit
from cache_dit import BlockAdapter, ForwardPattern

from tests.compat.models import qwen_image, run

pipe = qwen_image()

# Use BlockAdapter with `auto` mode.
cache_dit.enable_cache(
    BlockAdapter(
        # Any DiffusionPipeline, Qwen-Image, etc.
        pipe=pipe,
        auto=True,
        # Check `Forward Pattern Matching` documentation and hack the code of
        # of Qwen-Image, you will find that it has satisfied `FORWARD_PATTERN_1`.
        forward_pattern=ForwardPattern.Pattern_1,
    ),
)
run(pipe)
cache_dit.disable_cache(pipe)

# Or, manually setup transformer configurations.
cache_dit.enable_cache(
    BlockAdapter(
        pipe=pipe,  # Qwen-Image, etc.
        transformer=pipe.transformer,
        blocks=pipe.transformer.transformer_blocks,
        forward_pattern=ForwardPattern.Pattern_1,
    ),
)
run(pipe)
