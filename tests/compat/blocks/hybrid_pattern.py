# docs/user_guide/CACHE_API.md, "Hybrid Forward Pattern"; diffusers' cache_dit.md
import cache_dit
from cache_dit import BlockAdapter, ForwardPattern

from tests.compat.models import flux, run

pipe = flux()

# For diffusers <= 0.34.0, FLUX.1 transformer_blocks and
# single_transformer_blocks have different forward patterns.
cache_dit.enable_cache(
    BlockAdapter(
        pipe=pipe,  # FLUX.1, etc.
        transformer=pipe.transformer,
        blocks=[
            pipe.transformer.transformer_blocks,
            pipe.transformer.single_transformer_blocks,
        ],
        forward_pattern=[
            ForwardPattern.Pattern_1,
            ForwardPattern.Pattern_3,
        ],
    ),
)
run(pipe)
