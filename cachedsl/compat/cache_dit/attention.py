"""Attention backends, through diffusers' own `set_attention_backend`."""

from __future__ import annotations

from typing import Any

from cachedsl.compat.cache_dit.targets import targets_of

NAMES = {"_sdpa_cudnn": "_native_cudnn"}
"""Backends of cache-dit that diffusers has under another name."""


def set_attn_backend(pipe_or_adapter: Any, attention_backend: str | None = None) -> None:
    """Let the transformers of a pipeline or adapter compute attention by another backend; None is diffusers' default.

    Raises:
        ValueError: diffusers has no such backend; the message lists those that it has.
        TypeError: a transformer has no backends to choose from.
    """
    name = "native" if attention_backend is None else NAMES.get(attention_backend, attention_backend)
    modules: list[Any] = [one.components[driven] for one in targets_of(pipe_or_adapter) for driven in one.driven]
    for module in modules:
        if not hasattr(module, "set_attention_backend"):
            raise TypeError(f"{type(module).__name__} has no set_attention_backend(); choose a backend in its own way")
    for module in modules:
        module.set_attention_backend(name)
