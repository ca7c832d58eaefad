"""What is enabled on which object."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from attrs import define, field

from cachedsl.compat.cache_dit.configs import BasicCacheConfig, CalibratorConfig
from cachedsl.compat.cache_dit.targets import Target
from cachedsl.language.policy import Policy
from cachedsl.runtime.handle import Cached


@define(eq=False)
class Settings:
    """What a policy was made of.

    Attributes:
        cache_config: as it was given.
        calibrator_config: as it was given.
        options: flat options, for all block lists.
        overrides: flat options that are different, by `transformer.list`.
        runtime: the `runtime` section, as a tree.
        parallelism_config: as it was given.
        quantize_config: as it was given.
    """

    cache_config: BasicCacheConfig
    calibrator_config: CalibratorConfig | None
    options: dict[str, Any]
    overrides: dict[str, dict[str, Any]]
    runtime: dict[str, Any] = field(factory=dict)
    parallelism_config: Any = None
    quantize_config: Any = None


@define(eq=False)
class Enabled:
    """One policy on one target."""

    target: Target
    settings: Settings
    policy: Policy
    cached: Cached
    steps: int | None = None


_ENABLED: WeakKeyDictionary[Any, list[Enabled]] = WeakKeyDictionary()


def remember(given: Any, enabled: list[Enabled]) -> None:
    """Keep what was enabled under what the caller has in hand: the pipeline, the adapter, the transformers."""
    for one in enabled:
        for owner in (one.target.attached, *(one.target.components[name] for name in one.target.driven)):
            _ENABLED[owner] = [one]
    _ENABLED[given] = enabled


def enabled_on(given: Any) -> list[Enabled]:
    """Return what is enabled on a pipeline, transformer or adapter; nothing where it was removed."""
    plain = getattr(given, "_orig_mod", given)
    try:
        found = _ENABLED.get(plain, [])
    except TypeError:
        return []
    return [one for one in found if one.cached.attached]


def forget(enabled: list[Enabled]) -> None:
    """Keep nothing of these any longer."""
    for owner, kept in list(_ENABLED.items()):
        left = [one for one in kept if one not in enabled]
        if left:
            _ENABLED[owner] = left
        else:
            del _ENABLED[owner]
