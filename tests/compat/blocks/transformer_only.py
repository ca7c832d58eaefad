# docs/user_guide/CACHE_API.md, "Transformer-Only Interface"
import cache_dit
from cache_dit import BlockAdapter, DBCacheConfig, ForwardPattern

from tests.compat.models import qwen_image, run

pipe = qwen_image()
transformer = pipe.transformer

cache_dit.enable_cache(
    BlockAdapter(
        # NO `pipe` required
        transformer=transformer,
        blocks=transformer.transformer_blocks,
        forward_pattern=ForwardPattern.Pattern_1,
    ),
    cache_config=DBCacheConfig(
        num_inference_steps=11  # required
    ),
)
run(pipe)
