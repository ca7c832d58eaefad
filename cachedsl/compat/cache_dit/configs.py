"""Config classes of cache-dit, with its fields and defaults; `options` returns them as flat options."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from cachedsl.compat.cache_dit.types import CacheType

Config = TypeVar("Config", bound="_Updatable")


class _Updatable:
    """A config whose fields are set, or emptied and set, in place."""

    _kept: tuple[str, ...] = ()

    def update(self: Config, **kwargs: Any) -> Config:
        """Set fields that are given and not None. Raises `TypeError` for a name that is no field."""
        self._check(kwargs)
        for name, value in kwargs.items():
            if value is not None:
                setattr(self, name, value)
        return self

    def empty(self: Config, **kwargs: Any) -> Config:
        """Set every field to None, which says nothing, and then those that are given."""
        self._check(kwargs)
        for one in dataclasses.fields(self):  # type: ignore[arg-type]
            if one.name not in self._kept:
                setattr(self, one.name, None)
        return self.update(**kwargs)

    def _check(self, kwargs: dict[str, Any]) -> None:
        names = [one.name for one in dataclasses.fields(self)]  # type: ignore[arg-type]
        for name in kwargs:
            if name not in names:
                raise TypeError(f"{type(self).__name__} has no field {name!r}; there are {', '.join(names)}")

    def reset(self: Config, **kwargs: Any) -> Config:
        """Do what `empty` does: `DBCacheConfig().reset(Fn_compute_blocks=4)` says that, and nothing else."""
        return self.empty(**kwargs)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclasses.dataclass
class BasicCacheConfig(_Updatable):
    """When blocks are computed and when they are reused; see docs/from-cache-dit.md for what each field becomes."""

    cache_type: CacheType = CacheType.DBCache
    Fn_compute_blocks: int = 8
    Bn_compute_blocks: int = 0
    residual_diff_threshold: float = 0.08
    max_accumulated_residual_diff_threshold: float | None = None
    max_warmup_steps: int = 8
    warmup_interval: int = 1
    max_cached_steps: int = -1
    max_continuous_cached_steps: int = -1
    enable_separate_cfg: bool | None = None
    cfg_compute_first: bool = False
    cfg_diff_compute_separate: bool = True
    num_inference_steps: int | None = None
    steps_computation_mask: list[int] | None = None
    steps_computation_policy: str = "dynamic"
    force_refresh_step_hint: int | None = None
    force_refresh_step_policy: str = "once"

    def options(self) -> dict[str, Any]:
        """Return the fields that say something as flat options, as `cachedsl.convert.cache_dit` reads them."""
        said = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        plain = {name: getattr(value, "item", lambda value=value: value)() for name, value in said.items()}
        if plain["cache_type"] is not None:
            plain["cache_type"] = CacheType.type(plain["cache_type"]).value
        return {name: value for name, value in plain.items() if value is not None}

    def _head(self) -> str:
        return (
            f"{self.cache_type}_F{self.Fn_compute_blocks}B{self.Bn_compute_blocks}_W{self.max_warmup_steps}"
            f"I{self.warmup_interval}M{max(0, self.max_cached_steps)}MC{max(0, self.max_continuous_cached_steps)}"
            f"_R{self.residual_diff_threshold}"
        )

    def strify(self) -> str:
        """Return a tag such as `DBCache_F8B0_W8I1M0MC0_R0.08`, for file names."""
        parts = [self._head()]
        if self.steps_computation_mask is not None:
            parts.append(f"SCM{''.join(map(str, self.steps_computation_mask))}_{self.steps_computation_policy}")
        if self.num_inference_steps is not None:
            parts.append(f"N{self.num_inference_steps}")
        if self.force_refresh_step_hint is not None:
            parts.append(f"FR{self.force_refresh_step_hint}_{self.force_refresh_step_policy}")
        if self.enable_separate_cfg is not None:
            parts.append(f"CFG{int(self.enable_separate_cfg)}")
        return "_".join(parts)


@dataclasses.dataclass
class DBCacheConfig(BasicCacheConfig):
    """Dual Block Cache: front and back blocks always run, and what is between is computed or reused as a whole."""


@dataclasses.dataclass
class DBPruneConfig(BasicCacheConfig):
    """Dynamic Block Prune: every block between front and back decides for itself."""

    cache_type: CacheType = CacheType.DBPrune
    enable_dynamic_prune_threshold: bool = False
    max_dynamic_prune_threshold: float | None = None
    dynamic_prune_threshold_relax_ratio: float = 1.25
    non_prune_block_ids: list[int] = dataclasses.field(default_factory=list)
    force_reduce_calibrator_vram: bool = False

    def strify(self) -> str:
        """Return a tag such as `DBPrune_F8B0_W8I1M0MC0_R0.08`, for file names."""
        return self._head()


@dataclasses.dataclass
class ExtraCacheConfig(_Updatable):
    """What is measured, where it is not the whole of the residual."""

    l1_hidden_states_diff_threshold: float | None = None
    important_condition_threshold: float = 0.0
    downsample_factor: int = 1

    def options(self) -> dict[str, Any]:
        """Return the fields that say something as flat options."""
        return {name: value for name, value in self.as_dict().items() if value is not None}


@dataclasses.dataclass
class CalibratorConfig(_Updatable):
    """How a reused result is approximated."""

    _kept = ("calibrator_type",)

    enable_calibrator: bool = False
    enable_encoder_calibrator: bool = False
    calibrator_type: str = "taylorseer"
    calibrator_cache_type: str = "residual"
    calibrator_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_kwargs(self) -> dict[str, Any]:
        """Return the parameters of the calibrator by its own names."""
        return dict(self.calibrator_kwargs or {})

    def strify(self, **kwargs: Any) -> str:
        """Return a tag for file names."""
        return "CalibratorBase"

    def options(self) -> dict[str, Any]:
        """Return the fields that say something as flat options."""
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        kwargs = fields.pop("calibrator_kwargs") or {}
        own = {_OWN[name]: value for name, value in kwargs.items() if name in _OWN}
        strange = {name: value for name, value in kwargs.items() if name not in _OWN}
        return {name: value for name, value in {**own, **strange, **fields}.items() if value is not None}


_OWN = {
    "n_derivatives": "taylorseer_order",
    "history": "dmd_history",
    "rank": "dmd_rank",
    "ridge": "dmd_ridge",
    "svd_precision": "dmd_svd_precision",
}
"""Parameters in `calibrator_kwargs`, and the options that they are."""


@dataclasses.dataclass
class TaylorSeerCalibratorConfig(CalibratorConfig):
    """Taylor's formula of `taylorseer_order`."""

    enable_calibrator: bool = True
    enable_encoder_calibrator: bool = True
    calibrator_type: str = "taylorseer"
    taylorseer_order: int = 1

    def to_kwargs(self) -> dict[str, Any]:
        return {**super().to_kwargs(), "n_derivatives": self.taylorseer_order}

    def strify(self, **kwargs: Any) -> str:
        if not self.taylorseer_order:
            return "NONE"
        return f"TaylorSeer_O({self.taylorseer_order})" if kwargs.get("details") else f"T1O{self.taylorseer_order}"


@dataclasses.dataclass
class DMDCalibratorConfig(CalibratorConfig):
    """Dynamic Mode Decomposition over the last `dmd_history` computed steps."""

    enable_calibrator: bool = True
    enable_encoder_calibrator: bool = True
    calibrator_type: str = "dmd"
    dmd_history: int = 6
    dmd_rank: int = 0
    dmd_ridge: float = 1e-8
    dmd_svd_precision: str = "medium"

    def to_kwargs(self) -> dict[str, Any]:
        own = {"history": self.dmd_history, "rank": self.dmd_rank, "ridge": self.dmd_ridge}
        return {**super().to_kwargs(), **own, "svd_precision": self.dmd_svd_precision}

    def strify(self, **kwargs: Any) -> str:
        if kwargs.get("details"):
            return f"DMD_H({self.dmd_history}, {self.dmd_svd_precision})"
        letter = self.dmd_svd_precision[0]
        return f"DMDH{self.dmd_history}{letter if letter != 'm' else ''}"


@dataclasses.dataclass
class FoCaCalibratorConfig(CalibratorConfig):
    """FoCa's predictor and corrector."""

    enable_calibrator: bool = True
    enable_encoder_calibrator: bool = True
    calibrator_type: str = "foca"

    def to_kwargs(self) -> dict[str, Any]:
        return {}

    def strify(self, **kwargs: Any) -> str:
        return "FoCa"
