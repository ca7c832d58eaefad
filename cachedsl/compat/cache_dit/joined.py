"""Models whose block lists cache-dit's own adapters chain: one decision for all, with front and back over the whole."""

from __future__ import annotations

CHAINED = {"Flux": ("FluxTransformer2DModel",)}
"""Beginnings of the class name of what is cached, and the transformers whose lists form one chain there."""


def chained(target: str, transformers: list[str]) -> bool:
    """Tell whether cache-dit chains the lists of a target's transformers; both are class names."""
    return any(
        target.startswith(prefix) and any(name in classes for name in transformers)
        for prefix, classes in CHAINED.items()
    )
