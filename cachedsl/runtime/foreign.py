"""Caches of others, which must not run on a model under a policy: diffusers' own, and cache-dit's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from cachedsl.runtime.errors import AlreadyAttached
from cachedsl.runtime.objects import base_class


def other_cache(target: Any) -> tuple[str, str] | None:
    """Return whose cache a pipeline or transformer runs under, and the way out; None where there is none."""
    if getattr(target, "is_cache_enabled", False):
        return "diffusers' own cache", "call its disable_cache() first"
    if getattr(target, "_is_cached", False) is True:
        return "cache-dit", "call cache_dit.disable_cache(...) on it first"
    return None


def refuse_other_caches(pipeline: Any, transformers: Iterable[nn.Module]) -> None:
    """Refuse a run under two caches.

    Raises:
        AlreadyAttached: another cache was switched on while the policy was attached.
    """
    for target in (pipeline, *transformers):
        found = None if target is None else other_cache(target)
        if found is not None:
            cache, way_out = found
            raise AlreadyAttached(
                f"{base_class(target).__name__} has been put under {cache} while a policy is attached, and one would "
                f"cache what the other has skipped; {way_out}, or remove() the policy; this run was not begun"
            )
