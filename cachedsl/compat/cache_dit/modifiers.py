"""Settings that are different for one block list."""

from __future__ import annotations

from typing import Any

from cachedsl.compat.cache_dit.configs import BasicCacheConfig, CalibratorConfig
from cachedsl.convert.cache_dit import ALIASES, OPTIONS


class ParamsModifier:
    """What is different for one block list; the lists of an adapter and the modifiers go by their order.

    Args:
        cache_config: what of it is not None replaces what all lists have. `DBCacheConfig().reset(...)` says only what
            is given, `DBCacheConfig(...)` every field.
        calibrator_config: another calibrator.
        **kwargs: single options, as older releases take them.

    Raises:
        TypeError: an option that there is not.
    """

    def __init__(
        self,
        cache_config: BasicCacheConfig | None = None,
        calibrator_config: CalibratorConfig | None = None,
        **kwargs: Any,
    ) -> None:
        check_options("ParamsModifier", kwargs)
        self.cache_config = cache_config
        self.calibrator_config = calibrator_config
        self.kwargs = kwargs

    def options(self) -> dict[str, Any]:
        """Return what is different, as flat options."""
        return flat_options(self.cache_config, self.calibrator_config, self.kwargs)


def flat_options(
    cache_config: BasicCacheConfig | None, calibrator_config: CalibratorConfig | None, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return what configs and single options say, as flat options; the latter hold where both say something."""
    found = {} if cache_config is None else cache_config.options()
    found |= {} if calibrator_config is None else calibrator_config.options()
    for name, value in kwargs.items():
        if value is not None:
            found[ALIASES.get(name, name)] = value
    return found


def check_options(caller: str, kwargs: dict[str, Any]) -> None:
    """Refuse keywords that are no options of cache-dit, which it drops in silence. Raises `TypeError`."""
    strange = [name for name in kwargs if name not in OPTIONS and name not in ALIASES and name != "taylorseer_kwargs"]
    if strange:
        raise TypeError(f"{caller}() got options that cache-dit does not have: {', '.join(strange)}")
