# docs/user_guide/LOAD_CONFIGS.md, "Single GPU inference"
import pathlib
import tempfile

import cache_dit

from tests.compat.models import flux, run

pipe = flux()
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "cache.yaml").write_text("""
cache_config:
  max_warmup_steps: 8
  warmup_interval: 2
  max_cached_steps: -1
  max_continuous_cached_steps: 2
  Fn_compute_blocks: 1
  Bn_compute_blocks: 0
  residual_diff_threshold: 0.12
  enable_taylorseer: true
  taylorseer_order: 1
""")
cache_dit.enable_cache(pipe, **cache_dit.load_configs(str(folder / "cache.yaml")))
run(pipe)
