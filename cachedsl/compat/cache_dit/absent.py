"""Names of cache-dit that are no matter of caching, and what to use in their place."""

from __future__ import annotations

from typing import Any, NoReturn

from cachedsl.text.finding import CachedslError

OFFLOAD = "diffusers' `pipe.enable_group_offload(...)` or `enable_model_cpu_offload()`, which cachedsl works with"
PROFILER = "`torch.profiler.profile`"

ABSENT = {
    "LayerwiseOffloadHandle": OFFLOAD,
    "LayerwiseOffloadHandleGroup": OFFLOAD,
    "get_layerwise_offload_handles": OFFLOAD,
    "layerwise_cpu_offload": OFFLOAD,
    "layerwise_offload": OFFLOAD,
    "remove_layerwise_offload": OFFLOAD,
    "ProfilerContext": PROFILER,
    "create_profiler_context": PROFILER,
    "get_profiler_output_dir": PROFILER,
    "profile_function": PROFILER,
    "set_profiler_output_dir": PROFILER,
    "load": "`from_pretrained` of diffusers, with the model's own quantisation",
    "ENV": "arguments: cachedsl reads no environment variables of cache-dit",
    "disable_print": "`contextlib.redirect_stdout`",
    "init_logger": "`logging.getLogger`",
    "maybe_empty_cache": "`torch.cuda.empty_cache()`",
    "parse_extra_modules": "`pipe.components`",
}
"""Names, and what does the same."""


class NotCarriedOver(CachedslError):
    """A name of cache-dit has no counterpart; the message says what to use."""


def refusing(name: str) -> Any:
    """Return what stands for `name`: importing it is no error, calling it or reading from it is one."""

    class Refusing:
        """Raises `NotCarriedOver`, with the way out, when it is used."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            _refuse(name)

    if name == "ENV":
        return _Reading(name)
    Refusing.__name__ = Refusing.__qualname__ = name
    return Refusing


class _Reading:
    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, key: str) -> NoReturn:
        if key.startswith("__"):
            raise AttributeError(key)
        _refuse(self.__dict__["_name"])


def _refuse(name: str) -> NoReturn:
    raise NotCarriedOver(f"cachedsl.compat.cache_dit has no {name}; use {ABSENT[name]}")
