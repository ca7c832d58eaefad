# docs/user_guide/CACHE_API.md, "Hybrid Cache CFG"; diffusers' cache_dit.md
import cache_dit
from cache_dit import DBCacheConfig

from tests.compat.models import qwen_image, run

pipe_or_adapter = qwen_image()

cache_dit.enable_cache(
    pipe_or_adapter,
    cache_config=DBCacheConfig(
        Fn_compute_blocks=1,
        max_warmup_steps=4,
        # CFG: classifier free guidance or not
        # For model that fused CFG and non-CFG into single forward step,
        # should set enable_separate_cfg as False.
        enable_separate_cfg=True,  # Wan 2.1, Qwen-Image, CogView4, Cosmos, SkyReelsV2, etc.
        # Compute cfg forward first or not, default False, namely,
        # 0, 2, 4, ..., -> non-CFG step; 1, 3, 5, ... -> CFG step.
        cfg_compute_first=False,
        # Compute separate diff values for CFG and non-CFG step,
        # default True. If False, we will use the computed diff from
        # current non-CFG transformer step for current CFG step.
        cfg_diff_compute_separate=True,
    ),
)
run(pipe_or_adapter)
stats = cache_dit.summary(pipe_or_adapter)
assert stats[0].cfg_residual_diffs
