"""DBCache as engines have it that build on cache-dit: its options under other names and with other defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from cachedsl.convert.cache_dit import options_from_policy, policy_from_options, steps_mask
from cachedsl.convert.cache_dit.reading import SAY_STEPS
from cachedsl.convert.engine import Asked
from cachedsl.convert.notes import NOT_CARRIED, Converted, Exported, Note
from cachedsl.convert.options import Option
from cachedsl.language.kinds import Flag, Number, Whole, word
from cachedsl.language.misfit import Path
from cachedsl.language.policy import Policy

SERVING: Mapping[str, Any] = {
    "Fn_compute_blocks": 1,
    "Bn_compute_blocks": 0,
    "residual_diff_threshold": 0.24,
    "max_warmup_steps": 4,
    "max_continuous_cached_steps": 3,
}
"""The defaults of SGLang, vLLM-Omni and TensorRT-LLM, where they differ from cache-dit's."""

WHOLE: Mapping[str, Any] = {
    "Fn_compute_blocks": 8,
    "Bn_compute_blocks": 0,
    "residual_diff_threshold": 0.08,
    "max_warmup_steps": 8,
    "warmup_interval": 1,
    "max_cached_steps": -1,
    "max_continuous_cached_steps": -1,
}


_LIMIT = Whole("a whole number of at least -1, which is no limit", least=-1)
SERVED: dict[str, Option] = {
    "Fn_compute_blocks": Option(Whole(least=1)),
    "Bn_compute_blocks": Option(Whole()),
    "max_warmup_steps": Option(Whole()),
    "max_cached_steps": Option(_LIMIT),
    "residual_diff_threshold": Option(Number()),
    "max_continuous_cached_steps": Option(_LIMIT),
    "enable_taylorseer": Option(Flag(), False),
    "taylorseer_order": Option(Whole(most=10)),
    "scm_steps_mask_policy": Option(word("slow", "medium", "fast", "ultra")),
    "scm_steps_policy": Option(word("dynamic", "static"), "dynamic"),
    "num_inference_steps": Option(Whole(least=1)),
    "force_refresh_step_hint": Option(Whole(least=1)),
    "force_refresh_step_policy": Option(word("once", "repeat"), "once"),
}
"""What vLLM-Omni and TensorRT-LLM both have of cache-dit's options, by their names for them."""

SPELT = {
    name: {"scm_steps_mask_policy": "steps_computation_mask", "scm_steps_policy": "steps_computation_policy"}.get(
        name, name
    )
    for name in SERVED
}


def from_options(
    options: Mapping[str, Any],
    where: Mapping[str, Path],
    asked: Asked,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Converted:
    """Return the policy of cache-dit's options; notes are moved to `where` each option was written."""
    found = policy_from_options(options, steps=asked.steps, overrides=overrides)
    return evolve(found, notes=tuple(_moved(note, where) for note in found.notes))


def _moved(note: Note, where: Mapping[str, Path]) -> Note:
    if note.hint == SAY_STEPS:  # the engine's name for them, where it has one, is another
        note = evolve(note, hint="say how many steps a run has: --steps")
    for index, step in enumerate(note.path):
        if step in where:
            path = where[str(step)]
            message = note.message.replace(f"{step}:", f"{path[-1]}:", 1)
            return evolve(note, path=(*path, *note.path[index + 1 :]), message=message)
    return note


def to_options(
    policy: Policy, asked: Asked, engine: str, spelt: Mapping[str, str], fixed: Mapping[str, Any]
) -> tuple[dict[str, Any], Exported]:
    """Return a policy's options under an engine's names, and what cache-dit itself could say.

    Args:
        policy: the policy.
        asked: the step count, which masks may need.
        engine: what messages call the engine.
        spelt: cache-dit's options that the engine has, and its names for them.
        fixed: options that it does not have, and what they are there.

    Returns:
        The options, and cache-dit's own with a note for each that the engine lacks.
    """
    exported = options_from_policy(policy, steps=asked.steps)
    notes = list(exported.notes)
    options: dict[str, Any] = {}
    for name, value in exported.options.items():
        if name in spelt:
            options[spelt[name]] = value
        elif name not in fixed or fixed[name] != value:
            notes.append(Note(NOT_CARRIED, KEYS.get(name, ()), f"{engine} has no `{name}`, which says {value}"))
    for name, value in fixed.items():
        if name in WHOLE and name not in exported.options and value != WHOLE[name]:
            notes.append(
                Note(NOT_CARRIED, KEYS.get(name, ()), f"{engine} has `{name}` {value} and no way to change it")
            )
    if policy.runtime.asked():
        message = f"{engine} is told of parallelism and quantisation elsewhere"
        notes.append(Note(NOT_CARRIED, ("runtime",), f"runtime: {message}", "leave it out", "warning"))
    return options, evolve(exported, notes=tuple(notes))


KEYS: Mapping[str, Path] = {
    "cache_type": ("prune",),
    "Fn_compute_blocks": ("compute",),
    "Bn_compute_blocks": ("compute",),
    "residual_diff_threshold": ("reuse", "threshold"),
    "max_accumulated_residual_diff_threshold": ("reuse", "max_accumulated"),
    "max_warmup_steps": ("warmup", "steps"),
    "warmup_interval": ("warmup", "interval"),
    "max_cached_steps": ("reuse", "max_total"),
    "max_continuous_cached_steps": ("reuse", "max_continuous"),
    "enable_separate_cfg": ("cfg",),
    "cfg_compute_first": ("cfg", "order"),
    "cfg_diff_compute_separate": ("cfg", "decision"),
    "steps_computation_mask": ("steps",),
    "steps_computation_policy": ("steps", "otherwise"),
    "force_refresh_step_hint": ("refresh",),
    "force_refresh_step_policy": ("refresh", "repeat"),
    "enable_taylorseer": ("predict",),
    "enable_encoder_taylorseer": ("predict", "streams"),
    "taylorseer_cache_type": ("predict", "target"),
    "taylorseer_order": ("predict", "order"),
    "enable_dmd": ("predict",),
    "enable_encoder_dmd": ("predict", "streams"),
    "calibrator_cache_type": ("predict", "target"),
    "dmd_history": ("predict", "history"),
    "dmd_rank": ("predict", "rank"),
    "dmd_ridge": ("predict", "ridge"),
    "enable_foca": ("predict",),
    "enable_encoder_foca": ("predict", "streams"),
}
"""The keys of a policy that say cache-dit's options, for notes."""


def bins(bits: Any) -> tuple[list[int], list[int]]:
    """Return a mask as runs of computed and of reused steps in turn, computed first."""
    compute: list[int] = []
    cache: list[int] = []
    last = None
    for bit in bits:
        runs = compute if bit else cache
        if bit == last:
            runs[-1] += 1
        else:
            runs.append(1)
        last = bit
    return compute, cache


FIXED: dict[str, Any] = {"warmup_interval": 1, "enable_encoder_taylorseer": True}


def preset_of(mask: Any) -> str | None:
    """Return the preset that cache-dit writes as these bits, None where there is none."""
    bits = "".join(map(str, mask))
    for name in ("slow", "medium", "fast", "ultra"):
        try:
            if steps_mask(name, len(bits)) == bits:
                return name
        except ValueError:
            return None
    return None
