"""What is done to models before they are driven, one file for each key of a policy's `runtime` section."""

from __future__ import annotations

from importlib import import_module

from cachedsl.engines.base import Engine, EngineRefused, Target
from cachedsl.engines.ranks import FindRanks, RanksDisagree, ranks_given, ranks_of_group
from cachedsl.language.runtime import Runtime
from cachedsl.signals import Ranks


def engine_of(key: str) -> Engine:
    """Return the engine of one key of `runtime`."""
    engine: Engine = import_module(f"cachedsl.engines.{key}").ENGINE
    return engine


def engage(runtime: Runtime, target: Target) -> None:
    """Do what `runtime` asks for, in the order of its keys; everything is checked before anything is changed.

    Raises:
        EngineRefused: something cannot be done; nothing was changed.
    """
    asked = [(engine_of(key), part) for key, part in runtime.asked().items()]
    for engine, part in asked:
        engine.check(target, part)
    for engine, part in asked:
        engine.engage(target, part)


__all__ = [
    "Engine",
    "EngineRefused",
    "FindRanks",
    "Ranks",
    "RanksDisagree",
    "Target",
    "engage",
    "engine_of",
    "ranks_given",
    "ranks_of_group",
]
