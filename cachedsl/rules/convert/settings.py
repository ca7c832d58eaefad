"""What can be wrong with settings of another engine, or lost on the way from or to it."""

from __future__ import annotations

from cachedsl.text.finding import Rule

BAD_OPTION = Rule(
    "bad-option",
    "convert",
    "a setting of another engine that cannot be read",
    why="A misspelt or wrongly typed setting is dropped in silence by many engines; a converted policy would then do "
    "something else than its author meant.",
    bad="cache_config: {residual_diff_treshold: 0.2}",
    good="cache_config: {residual_diff_threshold: 0.2}",
)
DUPLICATE = Rule(
    "duplicate-setting",
    "convert",
    "a setting that is written twice",
    why="One of the two has no effect, and which one differs between engines.",
    bad="SGLANG_CACHE_DIT_FN=1\nSGLANG_CACHE_DIT_FN=8",
    good="SGLANG_CACHE_DIT_FN=8",
)
NOT_CARRIED = Rule(
    "not-carried-over",
    "convert",
    "a setting that has no counterpart on the other side",
    why="What one side cannot say is named and never dropped in silence. It is a warning where only speed depends on "
    "it, such as an attention kernel.",
    bad="parallelism_config: {ulysses_size: auto}",
    good="parallelism_config: {ulysses_size: 2}",
)
DIFFERS = Rule(
    "converted-differs",
    "convert",
    "a setting that both sides have and read differently",
    severity="warning",
    why="The policy is the nearest one that there is, and decides or predicts otherwise in the case that is named.",
    bad="cache_config: {enable_taylorseer: true, max_warmup_steps: 2}",
    good="cache_config: {enable_taylorseer: true, max_warmup_steps: 4}",
)
IDLE_OPTION = Rule(
    "idle-option",
    "convert",
    "a setting that the other engine does not read beside the others",
    severity="warning",
    why="It has no effect there, so it is left out here.",
    bad="cache_config: {steps_computation_policy: static}",
    good="cache_config: {steps_computation_mask: [1, 1, 0, 1], steps_computation_policy: static}",
    category="suspicious",
)
RULES = (BAD_OPTION, DUPLICATE, NOT_CARRIED, DIFFERS, IDLE_OPTION)
