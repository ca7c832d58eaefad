"""Quantisation configs; they become `runtime.quantize` of the policy."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

from cachedsl.compat.cache_dit.notices import report
from cachedsl.convert.cache_dit import runtime_from_options
from cachedsl.convert.cache_dit.runtime import EXCLUDED


class QuantizeBackend(Enum):
    """What quantises; TorchAO here."""

    AUTO = "AUTO"
    TORCHAO = "TORCHAO"
    CACHE_DIT = "CACHE_DIT"
    NONE = "NONE"

    @classmethod
    def from_str(cls, backend_str: str) -> QuantizeBackend:
        """Return the backend of a name. Raises `ValueError`: there is none."""
        plain = backend_str.lower().replace("-", "_")
        names = {"ao": cls.TORCHAO, "cachedit": cls.CACHE_DIT, **{one.value.lower(): one for one in cls}}
        if plain not in names:
            raise ValueError(f"quantisation backend {backend_str!r}: there are {', '.join(one.name for one in cls)}")
        return names[plain]

    @classmethod
    def is_supported(cls, backend: QuantizeBackend) -> bool:
        """Tell whether a backend is there: TorchAO's, and none of cache-dit's own."""
        return backend in (cls.AUTO, cls.TORCHAO)


@dataclasses.dataclass
class QuantizeConfig:
    """Which layers of which components are quantised, and how; see docs/from-cache-dit.md.

    Raises:
        ConversionError: a policy cannot say it.
    """

    backend: str | QuantizeBackend = QuantizeBackend.AUTO
    quant_type: str = "float8_per_row"
    exclude_layers: list[str] | None = dataclasses.field(default_factory=lambda: list(EXCLUDED))
    regional_quantize: bool = True
    repeated_blocks: list[str] = dataclasses.field(default_factory=list)
    filter_fn: Any = None
    components_to_quantize: list[str] | dict[str, dict[str, Any]] | None = None
    per_tensor_fallback: bool = True
    precision_plan: dict[str, str] | None = None
    calibrate_fn: Any = None
    serialize_to: str | None = None
    svdq_kwargs: dict[str, Any] | None = None
    verbose: bool = False

    def __post_init__(self) -> None:
        self.quant_type = self.quant_type.lower()
        if isinstance(self.backend, str):
            self.backend = QuantizeBackend.from_str(self.backend)
        report(note for note in runtime_from_options(quantize=self.options()).notes if note.severity == "error")

    @classmethod
    def from_kwargs(cls, **kwargs: Any) -> QuantizeConfig:
        """Return the config of keywords, those of older releases too. Raises `TypeError`: there is no such keyword."""
        if "quantize_repeated_blocks" in kwargs:
            kwargs["regional_quantize"] = kwargs.pop("quantize_repeated_blocks")
        per_row = kwargs.pop("per_row", True)
        if not per_row and kwargs.get("quant_type") == "float8":
            kwargs["quant_type"] = "float8_per_tensor"
        return cls(**kwargs)

    def update(self, **kwargs: Any) -> QuantizeConfig:
        """Set fields that are given and not None; where they do not hold, none is set."""
        made = dataclasses.replace(self, **{name: value for name, value in kwargs.items() if value is not None})
        vars(self).update(vars(made))
        return self

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return dataclasses.asdict(self)

    def options(self) -> dict[str, Any]:
        """Return what is said, as `cachedsl.convert.cache_dit` reads it."""
        said = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return {name: value for name, value in said.items() if name != "backend"}

    def regional_of(self, component: str) -> bool:
        """Tell whether only the repeated blocks of a component are quantised."""
        own = self.components_to_quantize
        said = own.get(component, {}) if isinstance(own, dict) else {}
        return bool(said.get("regional_quantize", self.regional_quantize)) and "transformer" in component

    def strify(self) -> str:
        """Return the kind, for file names."""
        return self.quant_type
