"""Every option of cache-dit's cache, prune and calibrator parts, over its releases: what it may hold, its default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from cachedsl.convert.notes import BAD_OPTION, NOT_CARRIED, Note, bad_option
from cachedsl.language.kinds import Flag, Kind, ListOf, Number, Text, Whole, read_value, word
from cachedsl.language.misfit import Misfit, Misfits
from cachedsl.language.refusals import nearest

Section = Literal["cache", "extra", "older", "prune", "taylorseer", "dmd", "foca", "calibrator"]


@frozen
class Option:
    """One option.

    Attributes:
        kind: what it may hold; None is its default, in every option.
        default: what cache-dit takes where it is left out.
        section: what reads it: every run, pruning, or one calibrator; `older` ones are of releases before 1.0.
    """

    kind: Kind
    default: Any = None
    section: Section = "cache"


@frozen
class MaskOption(Kind):
    """A mask: a list of 0 and 1, a preset's name, or (not there, but here) a string of 0 and 1."""

    title: str = "a list of 0 and 1, or one of `slow`, `medium`, `fast` and `ultra`"

    def read(self, value: Any) -> str | tuple[int, ...]:
        if isinstance(value, str):
            return _PRESET_OR_BITS.read(value)
        if isinstance(value, Sequence) and value and all(type(bit) in (int, bool) and bit in (0, 1) for bit in value):
            return tuple(int(bit) for bit in value)
        raise Misfit(self.title, value)


_PRESET_OR_BITS = Text(MaskOption().title, "^(slow|medium|fast|ultra|[01]+)$")
_LIMIT = Whole("a whole number of at least -1, which is no limit", least=-1)
_ANY = Number()
_CACHE_TYPE = word("residual", "hidden_states")

CACHE_TYPES = {
    "DBCache": ("DUAL_BLOCK_CACHE", "DB_CACHE", "DBCACHE", "DB"),
    "DBPrune": ("DYNAMIC_BLOCK_PRUNE", "DB_PRUNE", "DBPRUNE", "DBP"),
    "FBCache": ("FIRST_BLOCK_CACHE", "FB_CACHE", "FBCACHE", "FB"),
    "NONE": ("NONE", "NO_CACHE", "NOCACHE", "NC", "NONE_CACHE", "NONECACHE", "NO"),
}
"""The cache types, and what `CacheType.type` takes for each in some release, in capitals."""

OPTIONS: dict[str, Option] = {
    "cache_type": Option(Text("`DBCache` or `DBPrune`"), "DBCache"),
    "Fn_compute_blocks": Option(Whole(least=1), 8),
    "Bn_compute_blocks": Option(Whole(), 0),
    "residual_diff_threshold": Option(_ANY, 0.08),
    "max_accumulated_residual_diff_threshold": Option(_ANY),
    "max_warmup_steps": Option(Whole(), 8),
    "warmup_interval": Option(Whole(least=1), 1),
    "max_cached_steps": Option(_LIMIT, -1),
    "max_continuous_cached_steps": Option(_LIMIT, -1),
    "enable_separate_cfg": Option(Flag()),
    "cfg_compute_first": Option(Flag(), False),
    "cfg_diff_compute_separate": Option(Flag(), True),
    "num_inference_steps": Option(Whole(least=1)),
    "steps_computation_mask": Option(MaskOption()),
    "steps_computation_policy": Option(word("dynamic", "static"), "dynamic"),
    "force_refresh_step_hint": Option(Whole(least=1)),
    "force_refresh_step_policy": Option(word("once", "repeat"), "once"),
    "l1_hidden_states_diff_threshold": Option(_ANY, section="extra"),
    "important_condition_threshold": Option(_ANY, 0.0, "extra"),
    "downsample_factor": Option(Whole(least=1), 1, "extra"),
    "Fn_compute_blocks_ids": Option(ListOf("a list of block indices", Whole()), section="older"),
    "Bn_compute_blocks_ids": Option(ListOf("a list of block indices", Whole(), ordered=False), section="older"),
    "non_compute_blocks_diff_threshold": Option(Number(least=0), 0.08, "older"),
    "max_Fn_compute_blocks": Option(_LIMIT, 16, "older"),
    "max_Bn_compute_blocks": Option(_LIMIT, 16, "older"),
    "enable_alter_cache": Option(Flag(), False, "older"),
    "alter_residual_diff_threshold": Option(_ANY, section="older"),
    "enable_dynamic_prune_threshold": Option(Flag(), False, "prune"),
    "max_dynamic_prune_threshold": Option(Number(least=0), section="prune"),
    "dynamic_prune_threshold_relax_ratio": Option(Number(above=0), 1.25, "prune"),
    "non_prune_block_ids": Option(ListOf("a list of block indices", Whole(), ordered=False), (), "prune"),
    "force_reduce_calibrator_vram": Option(Flag(), False, "prune"),
    "residual_cache_update_interval": Option(Whole(least=1), 1, "prune"),
    "enable_taylorseer": Option(Flag(), False, "taylorseer"),
    "enable_encoder_taylorseer": Option(Flag(), False, "taylorseer"),
    "taylorseer_cache_type": Option(_CACHE_TYPE, "residual", "taylorseer"),
    "taylorseer_order": Option(Whole(most=10), 1, "taylorseer"),
    "enable_dmd": Option(Flag(), False, "dmd"),
    "enable_encoder_dmd": Option(Flag(), section="dmd"),
    "dmd_history": Option(Whole(least=4, most=64), 6, "dmd"),
    "dmd_rank": Option(Whole(most=64), 0, "dmd"),
    "dmd_ridge": Option(Number(least=0, most=1), 1e-8, "dmd"),
    "dmd_svd_precision": Option(word("low", "medium", "high"), "medium", "dmd"),
    "enable_foca": Option(Flag(), False, "foca"),
    "enable_encoder_foca": Option(Flag(), False, "foca"),
    "calibrator_type": Option(word("taylorseer", "dmd", "foca"), "taylorseer", "calibrator"),
    "enable_calibrator": Option(Flag(), False, "calibrator"),
    "enable_encoder_calibrator": Option(Flag(), False, "calibrator"),
    "calibrator_cache_type": Option(_CACHE_TYPE, "residual", "calibrator"),
}
"""Every option by its name in 1.5.3, or in the last release that had it."""

ALIASES = {
    "do_separate_cfg": "enable_separate_cfg",
    "do_separate_classifier_free_guidance": "enable_separate_cfg",
    "enable_spearate_cfg": "enable_separate_cfg",
    "warmup_steps": "max_warmup_steps",
    "max_pruned_steps": "max_cached_steps",
    "non_prune_blocks_ids": "non_prune_block_ids",
}
"""Older spellings, and what they mean."""


@frozen
class Read:
    """Options that were read: under their names in `OPTIONS`, and where each was written."""

    values: Mapping[str, Any]
    keys: Mapping[str, str]
    notes: tuple[Note, ...]

    def __getitem__(self, name: str) -> Any:
        """Return what was said, else cache-dit's default."""
        value = self.values.get(name)
        return OPTIONS[name].default if value is None else value

    def says(self, name: str) -> bool:
        """Tell whether an option is set to something else than its default."""
        return self.values.get(name) not in (None, OPTIONS[name].default)

    def said_of(self, *sections: Section) -> list[str]:
        """Return the names of these sections that are set to something else than their defaults."""
        return [name for name in self.values if OPTIONS[name].section in sections and self.says(name)]


def read_options(options: Mapping[str, Any]) -> Read:
    """Read every option strictly; what does not fit is a note, and left out."""
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    notes: list[Note] = []
    for key, value in _flat(options, notes):
        name = ALIASES.get(key, key)
        if name not in OPTIONS:
            notes.append(_unknown(key))
            continue
        try:
            read = None if value is None else read_value(OPTIONS[name].kind, value)
        except (Misfit, Misfits) as error:
            notes += bad_option(error, key)
            continue
        if name in values and values[name] != read:
            message = f"{key}: `{keys[name]}` is the same option and has another value"
            notes.append(Note(BAD_OPTION, (key,), message, "keep one of the two"))
            continue
        values[name], keys[name] = read, key
    return Read(values, keys, tuple(notes))


def _flat(options: Mapping[str, Any], notes: list[Note]) -> Iterator[tuple[str, Any]]:
    """Yield options, and of `taylorseer_kwargs` what older releases had there."""
    for key, value in options.items():
        if key != "taylorseer_kwargs" or not isinstance(value, Mapping):
            yield key, value
            continue
        for inner, said in value.items():
            if inner == "n_derivatives":
                yield "taylorseer_order", said
            else:
                message = f"{key}.{inner}: when TaylorSeer begins is told by the warmup here"
                notes.append(Note(NOT_CARRIED, (key, inner), message, "set `max_warmup_steps`"))


def _unknown(key: Any) -> Note:
    near = nearest(str(key), OPTIONS) or nearest(str(key), ALIASES)
    hint = f"did you mean `{near}`?" if near else "leave it out; cache-dit drops it in silence"
    return Note(BAD_OPTION, (key,), f"{key}: cache-dit has no such option", hint)
