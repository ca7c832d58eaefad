# docs/user_guide/CACHE_API.md, "Implement Patch Functor"; docs/User_Guide.md spells it BlockAdapterRegistry
import cache_dit
from cache_dit import BlockAdapter, BlockAdapterRegister, ForwardPattern

from tests.compat.models import flux, run


@BlockAdapterRegister.register("FluxPipeline")
def flux_adapter(pipe, **kwargs) -> BlockAdapter:
    from cache_dit.caching.patch_functors import FluxPatchFunctor
    from diffusers import FluxTransformer2DModel

    assert isinstance(pipe.transformer, FluxTransformer2DModel)
    return BlockAdapter(
        pipe=pipe,
        transformer=pipe.transformer,
        blocks=[
            pipe.transformer.transformer_blocks,
            pipe.transformer.single_transformer_blocks,
        ],
        forward_pattern=[
            ForwardPattern.Pattern_1,
            ForwardPattern.Pattern_1,
        ],
        # NOTE: Setup your custom patch functor here.
        patch_functor=FluxPatchFunctor(),
        **kwargs,
    )


pipe = flux()
cache_dit.enable_cache(pipe)
run(pipe)
