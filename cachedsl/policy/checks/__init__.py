"""Checks of meaning, one a file; this is their registry. A check yields diagnostics and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from cachedsl.policy.checks import availability, back_blocks, idle, numbers, parameters
from cachedsl.policy.checks.base import Findings, Subject

CHECKS: tuple[Callable[[Subject], Findings], ...] = (
    availability.check,
    back_blocks.check,
    idle.check,
    numbers.check,
    parameters.check,
)

__all__ = ["CHECKS", "Findings", "Subject"]
