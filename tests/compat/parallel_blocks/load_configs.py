# docs/user_guide/LOAD_CONFIGS.md, "Distributed inference" and "Hybrid Cache and Parallelism"
import pathlib
import tempfile

import cache_dit

from tests.compat.models import flux, run

folder = pathlib.Path(tempfile.mkdtemp())
(folder / "parallel.yaml").write_text("""
parallelism_config:
  ulysses_size: auto
  parallel_kwargs:
    attention_backend: native
""")
pipe = flux(blocks=5)
cache_dit.enable_cache(pipe, **cache_dit.load_configs(str(folder / "parallel.yaml")))
run(pipe, 4)

(folder / "hybrid.yaml").write_text("""
cache_config:
  max_warmup_steps: 4
  warmup_interval: 2
  max_cached_steps: -1
  max_continuous_cached_steps: 2
  Fn_compute_blocks: 1
  Bn_compute_blocks: 0
  residual_diff_threshold: 0.3
  enable_taylorseer: true
  taylorseer_order: 1
parallelism_config:
  ulysses_size: auto
  parallel_kwargs:
    attention_backend: native
""")
pipe = flux(blocks=6)
cache_dit.enable_cache(pipe, **cache_dit.load_configs(str(folder / "hybrid.yaml")))
run(pipe, 7)
