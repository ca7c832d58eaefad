"""Parallelism configs; they become `runtime.parallel` of the policy."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

from cachedsl.compat.cache_dit.notices import report
from cachedsl.convert.cache_dit import runtime_from_options


class ParallelismBackend(Enum):
    """What splits a model; which one it is follows from the sizes."""

    AUTO = "Auto"
    CACHE_DIT = "CACHE_DIT"
    NATIVE_DIFFUSER = "Native_Diffuser"
    NATIVE_PYTORCH = "Native_PyTorch"
    NATIVE_HYBRID = "Native_Hybrid"
    NONE = "None"

    @classmethod
    def canonicalize(cls, backend: ParallelismBackend) -> ParallelismBackend:
        """Return the backend of a name that has two."""
        return cls.CACHE_DIT if backend is cls.NATIVE_DIFFUSER else backend

    @classmethod
    def is_supported(cls, backend: ParallelismBackend) -> bool:
        """Tell whether there is something to split a model with. Raises `ValueError` for `NONE`."""
        if backend is cls.NONE:
            raise ValueError("ParallelismBackend.NONE splits nothing; leave `parallelism_config` out")
        return True

    @classmethod
    def from_str(cls, backend_str: str) -> ParallelismBackend:
        """Return the backend of a name. Raises `ValueError`: there is none."""
        for one in cls:
            if backend_str.lower() in (one.value.lower(), one.name.lower()):
                return cls.canonicalize(one)
        raise ValueError(f"parallelism backend {backend_str!r}: there are {', '.join(one.name for one in cls)}")

    def __str__(self) -> str:
        return self.value


@dataclasses.dataclass
class ParallelismConfig:
    """How one run is split over processes that `torchrun` started; see docs/from-cache-dit.md.

    Raises:
        ConversionError: a policy cannot say it; made, so that nothing is loaded in vain.
        ValueError: nothing is split.
    """

    backend: ParallelismBackend | str = ParallelismBackend.AUTO
    ulysses_size: int | None = None
    ring_size: int | None = None
    tp_size: int | None = None
    use_ray: bool = False
    ray_num_workers: int | None = None
    ray_address: str | None = None
    ray_runtime_env: dict[str, Any] | None = None
    ray_init_kwargs: dict[str, Any] = dataclasses.field(default_factory=lambda: {"include_dashboard": False})
    ray_worker_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    ray_master_port: int = 0
    ray_auto_shutdown: bool = True
    ray_transfer_backend: str = "auto"
    ray_transfer_custom_obj: bool = True
    ray_use_flashpack: bool = False
    ray_use_compile: bool = False
    ray_transfer_fn: Any = None
    cp_plan: Any = None
    attention_backend: str | None = None
    ulysses_anything: bool | None = False
    ulysses_float8: bool | None = False
    ulysses_async: bool | None = False
    extra_parallel_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    ring_rotate_method: str | None = "p2p"
    ring_convert_to_fp32: bool | None = True
    extra_parallel_modules: list[Any] | None = dataclasses.field(default_factory=list)
    parallel_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, value in self.parallel_kwargs.items():
            name = key.removeprefix("experimental_")
            if name not in _FIELDS:
                raise TypeError(
                    f"ParallelismConfig: parallel_kwargs has {key!r}; there are {', '.join(sorted(_FIELDS))}"
                )
            setattr(self, name, value)
        if isinstance(self.backend, str):
            self.backend = ParallelismBackend.from_str(self.backend)
        report(note for note in runtime_from_options(self.options()).notes if note.severity == "error")
        if not self.enabled():
            raise ValueError("ParallelismConfig: set ulysses_size, ring_size or tp_size above 1, or leave it out")

    def enabled(self) -> bool:
        """Tell whether anything is split."""
        return any((size or 1) > 1 for size in (self.ulysses_size, self.ring_size, self.tp_size))

    def options(self) -> dict[str, Any]:
        """Return what is said, as `cachedsl.convert.cache_dit` reads it."""
        said = {name: getattr(self, name) for name in _FIELDS}
        return {name: value for name, value in said.items() if name not in ("backend", "parallel_kwargs")}

    def strify(self, details: bool = False, **kwargs: Any) -> str:
        """Return a tag such as `Ulysses2_TP2`, for file names."""
        sizes = {"Ulysses": self.ulysses_size, "Ring": self.ring_size, "TP": self.tp_size}
        return "_".join(f"{name}{size}" for name, size in sizes.items() if (size or 1) > 1)


_FIELDS = tuple(one.name for one in dataclasses.fields(ParallelismConfig))
