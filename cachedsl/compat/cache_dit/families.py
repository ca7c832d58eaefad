"""What cache-dit's own adapters say of families: whose lists form one chain, and who is called once a CFG branch."""

from __future__ import annotations

CHAINED = {"Flux": ("FluxTransformer2DModel",)}
"""Beginnings of the class name of what is cached, and the transformers whose lists form one chain there."""

SEPARATE = (
    *("BooguImage", "Chroma", "ChronoEdit", "CogView4", "Cosmos", "GlmImage", "Helios", "HunyuanImage"),
    *("HunyuanVideo15", "JoyImage", "Kandinsky5", "Krea2", "LongCatImage", "Lumina2", "OvisImage", "QwenImage"),
    *("SkyReelsV2", "Wan"),
)
"""Beginnings of the class names of models that are called once for each CFG branch."""


def chained(target: str, transformers: list[str]) -> bool:
    """Tell whether cache-dit chains the lists of a target's transformers; both are class names."""
    return any(
        target.startswith(prefix) and any(name in classes for name in transformers)
        for prefix, classes in CHAINED.items()
    )


def called_once_a_branch(target: str) -> bool:
    """Tell whether cache-dit takes a model, by its class name, for one that is called once for each CFG branch."""
    return target.startswith(SEPARATE)
