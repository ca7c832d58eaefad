"""`cache_dit.caching.patch_functors`: the base class, and cache-dit's own functors, which change nothing here."""

from __future__ import annotations

from cachedsl.compat.cache_dit.functors import FUNCTORS, PatchFunctor

__all__ = ["PatchFunctor", *FUNCTORS]


def __getattr__(name: str) -> type[PatchFunctor]:
    if name in FUNCTORS:
        return FUNCTORS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
