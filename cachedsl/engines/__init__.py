"""What is done to models before they are driven, one file for each key of a policy's `runtime` section."""

from __future__ import annotations

from importlib import import_module

from cachedsl.engines.base import Engine, EngineRefused, Target
from cachedsl.engines.ranks import FindRanks, RanksDisagree, ranks_given, ranks_of_group
from cachedsl.language.policy import Policy
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


def check_runtime(applied: Policy, policy: Policy) -> None:
    """Refuse a policy that is to take over on models as they are, and whose `runtime` asks for other ones.

    Raises:
        EngineRefused: a key of its `runtime` says something else than that of the policy that was applied.
    """
    done = applied.runtime.asked()
    other = [key for key, part in policy.runtime.asked().items() if done.get(key) != part]
    if other:
        keys = ", ".join(f"runtime.{key}" for key in other)
        raise EngineRefused(
            f"policy {policy.name!r} asks for {keys} as policy {applied.name!r} does not, and only apply() does what "
            "`runtime` says; apply it in place of the other, or leave the key out; nothing was changed"
        )


__all__ = [
    "Engine",
    "EngineRefused",
    "FindRanks",
    "Ranks",
    "RanksDisagree",
    "Target",
    "check_runtime",
    "engage",
    "engine_of",
    "ranks_given",
    "ranks_of_group",
]
