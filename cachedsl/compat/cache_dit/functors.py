"""Patch functors: cache-dit rewrites some models with them; cachedsl takes every model as it is."""

from __future__ import annotations

from typing import Any

from torch import nn


class PatchFunctor:
    """Changes a transformer before it is cached. A subclass of yours says in `_apply` how."""

    def apply(self, transformer: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        """Change `transformer`, unless a functor of this class has changed it before, and return it."""
        done = transformer.__dict__.setdefault("_compat_patched", set())
        if type(self).__name__ in done:
            return transformer
        patched = self._apply(transformer, *args, **kwargs)
        done.add(type(self).__name__)
        return patched

    def _apply(self, transformer: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        raise NotImplementedError(f"{type(self).__name__} does not say in `_apply` what it changes")


class NotNeeded(PatchFunctor):
    """One of cache-dit's own functors. It changes nothing here: an adapter knows the model's blocks as they are."""

    def _apply(self, transformer: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        return transformer


NAMES = (
    *("BriaFibo", "Chroma", "Cosmos3Omni", "DiT", "ErnieImage", "Flux", "GlmImage", "HiDream", "HunyuanDiT", "LTX2"),
    *("QwenImageControlNet", "WanVACE", "ZImageControlNet"),
)
FUNCTORS: dict[str, type[NotNeeded]] = {
    f"{name}PatchFunctor": type(f"{name}PatchFunctor", (NotNeeded,), {"__module__": __name__}) for name in NAMES
}
"""cache-dit's own functors by name."""
