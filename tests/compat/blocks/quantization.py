# docs/user_guide/QUANTIZATION.md; int8 in place of float8, which a CPU does not compute with
import cache_dit
from cache_dit import DBCacheConfig, QuantizeConfig

from tests.compat.models import flux, run

pipe = flux(blocks=11)
# Pass a QuantizeConfig to the `enable_cache` API.
cache_dit.enable_cache(
    pipe,
    cache_config=DBCacheConfig(),  # w/ default
    quantize_config=QuantizeConfig(
        components_to_quantize={
            "transformer": {
                "quant_type": "int8_weight_only",
                "exclude_layers": ["embedder", "embed"],
            },
        }
    ),
)
run(pipe)

# Or, directly call the `quantize` API for more fine-grained control.
pipe = flux(blocks=9)
cache_dit.enable_cache(pipe)
cache_dit.quantize(
    pipe.transformer,
    quantize_config=QuantizeConfig(quant_type="int8_weight_only"),
)
run(pipe)
cache_dit.disable_cache(pipe)

# As docs/User_Guide.md had it
pipe = flux(blocks=12)
cache_dit.enable_cache(pipe)
pipe.transformer = cache_dit.quantize(pipe.transformer, quant_type="int8_weight_only")
run(pipe)
