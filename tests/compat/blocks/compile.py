# docs/user_guide/COMPILE.md; diffusers' cache_dit.md
import cache_dit
import torch

from tests.compat.models import qwen_image, run

pipe = qwen_image()
plain = pipe.transformer

cache_dit.enable_cache(pipe)
torch._dynamo.config.recompile_limit = 96  # default is 8
torch._dynamo.config.accumulated_recompile_limit = 2048  # default is 256
cache_dit.set_compile_configs()

# Compile the Transformer module
pipe.transformer = torch.compile(pipe.transformer, backend="eager")
try:
    run(pipe)
finally:
    pipe.transformer = plain
