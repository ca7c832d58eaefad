"""The words of cache-dit's interface: cache types and forward patterns."""

from __future__ import annotations

import builtins
from enum import Enum
from typing import Any

from cachedsl.convert.cache_dit.options import CACHE_TYPES
from cachedsl.matching.patterns import PATTERNS, Pattern

_DEFAULTS: dict[str, dict[str, Any]] = {
    "NONE": {},
    "FBCache": {"residual_diff_threshold": 0.08, "warmup_steps": 8, "max_cached_steps": 8},
    "DBCache": {
        "residual_diff_threshold": 0.12,
        "warmup_steps": 8,
        "max_cached_steps": -1,
        "Fn_compute_blocks": 8,
        "Bn_compute_blocks": 0,
    },
    "DBPrune": {
        "residual_diff_threshold": 0.08,
        "warmup_steps": 8,
        "max_pruned_steps": -1,
        "Fn_compute_blocks": 8,
        "Bn_compute_blocks": 8,
    },
}
"""What `default_options` gave in the last release that had each type."""


class CacheType(Enum):
    """How blocks are cached. `FBCache` is of older releases: DBCache with F1B0."""

    NONE = "NONE"
    FBCache = "FBCache"
    DBCache = "DBCache"
    DBPrune = "DBPrune"

    @staticmethod
    def type(type_hint: CacheType | str | None) -> CacheType:
        """Return the type that is meant; see `cache_type`."""
        return cache_type(type_hint)

    @staticmethod
    def cache_type(cache_type: CacheType | str | None) -> CacheType:
        """Return the type that is meant, as older releases spelt `CacheType.type`."""
        return CacheType.type(cache_type)

    @staticmethod
    def range(start: int, end: int, step: int = 1) -> list[int]:
        """Return block indices; see `block_range`."""
        return block_range(start, end, step)

    @staticmethod
    def block_range(start: int, end: int, step: int = 1) -> list[int]:
        """Return block indices; see `block_range`."""
        return block_range(start, end, step)

    @staticmethod
    def default_options(cache_type: CacheType | str | None = None) -> dict[str, Any]:
        """Return the options of a type, as `apply_cache_on_pipe` takes them; by default DBCache's."""
        return default_options(CacheType.DBCache if cache_type is None else cache_type)

    def __str__(self) -> str:
        return self.value


def cache_type(type_hint: CacheType | str | None) -> CacheType:
    """Return the cache type that is meant: `DBCache`, `db_cache`, `DB` and so on; None is `NONE`.

    Raises:
        ValueError: there is no such type. cache-dit takes any other word for `NONE` and caches nothing.
    """
    if type_hint is None:
        return CacheType.NONE
    if isinstance(type_hint, CacheType):
        return type_hint
    for name, spellings in CACHE_TYPES.items():
        if str(type_hint).upper() in (name.upper(), *spellings):
            return CacheType(name)
    raise ValueError(f"cache type {type_hint!r}: there are {', '.join(CACHE_TYPES)}")


def block_range(start: int, end: int, step: int = 1) -> list[int]:
    """Return every `step`-th block index from `start`, with 0 and `end - 1` always; nothing for a step of 1."""
    if start > end or end <= 0 or step <= 1:
        return []
    return sorted({0, *builtins.range(start, end, step), end - 1})


def default_options(cache_type: CacheType | str = CacheType.DBCache) -> dict[str, Any]:
    """Return the options of a type, as `apply_cache_on_pipe` takes them."""
    kind = CacheType.type(cache_type)
    return {"cache_type": kind, **_DEFAULTS[kind.value]}


_NAMES = {"hidden": "hidden_states", "encoder": "encoder_hidden_states"}


class ForwardPattern(Enum):
    """How blocks take and return their streams; the value is the name of the pattern in an adapter."""

    Pattern_0 = "hidden_encoder"
    Pattern_1 = "hidden_encoder_swapped"
    Pattern_2 = "hidden_with_context"
    Pattern_3 = "hidden_only"
    Pattern_4 = "hidden_makes_encoder"
    Pattern_5 = "hidden_makes_encoder_swapped"

    @property
    def pattern(self) -> Pattern:
        """The pattern, as adapters have it."""
        return PATTERNS[self.value]

    @property
    def In(self) -> tuple[str, ...]:  # noqa: N802
        """The arguments that a block takes."""
        taken = (*self.pattern.inputs, *(("encoder",) if self.pattern.context else ()))
        return tuple(_NAMES[stream] for stream in taken)

    @property
    def Out(self) -> tuple[str, ...]:  # noqa: N802
        """What a block returns, in order."""
        return tuple(_NAMES[stream] for stream in self.pattern.outputs)

    @property
    def Return_H_First(self) -> bool:  # noqa: N802
        """Whether the hidden states come first of two outputs."""
        return len(self.pattern.outputs) == 2 and self.pattern.outputs[0] == "hidden"

    @property
    def Return_H_Only(self) -> bool:  # noqa: N802
        """Whether they are the only output."""
        return self.pattern.outputs == ("hidden",)

    @property
    def Forward_H_only(self) -> bool:  # noqa: N802
        """Whether a block takes the hidden states alone."""
        return self.In == ("hidden_states",)

    @property
    def Supported(self) -> bool:  # noqa: N802
        """Whether blocks of this pattern can be cached: all can."""
        return True

    @staticmethod
    def supported_patterns() -> list[ForwardPattern]:
        """Return every pattern."""
        return list(ForwardPattern)


def pattern_of(name: str) -> ForwardPattern:
    """Return the forward pattern that an adapter calls `name`."""
    return ForwardPattern(name)
