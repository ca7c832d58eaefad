"""Assertions for tests of policies: what a plan does, what a run reused. `pytest` brings the fixtures of `plugin`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cachedsl.testing.plans import assert_plan, plan_of
    from cachedsl.testing.runs import assert_reused

__all__ = ["assert_plan", "assert_reused", "plan_of"]
_HOMES = {
    "assert_plan": "cachedsl.testing.plans",
    "assert_reused": "cachedsl.testing.runs",
    "plan_of": "cachedsl.testing.plans",
}


def __getattr__(name: str) -> Any:
    """Import on first use: pytest loads this package in every run of everybody who has cachedsl installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
