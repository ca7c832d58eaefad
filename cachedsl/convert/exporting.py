"""What a cache of whole steps, or one setting for all block lists, cannot say of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachedsl.convert.notes import NOT_CARRIED, Note
from cachedsl.language.parts import Compute, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.ratios import RatiosKind


def stack_notes(stacks: Mapping[str, Any], engine: str) -> list[Note]:
    """Name the block lists that have settings of their own, where an engine has one for all."""
    return [
        Note(NOT_CARRIED, ("stacks", name), f"stacks.{name}: {engine} has one setting for all block lists")
        for name in stacks
    ]


def whole_notes(policy: Policy, engine: str, head: int, tail: int, *, longest: bool = False) -> list[Note]:
    """Name what a cache of whole steps cannot say: everything but its threshold, and a head and tail of its own."""
    expected = Policy(compute=Compute(0, 0), span="joined", warmup=Warmup(head), tail=tail)
    reuse = {"threshold", "signal", *(["max_continuous"] if longest else [])}
    notes = []
    for name in ("compute", "span", "warmup", "tail", "predict", "steps", "refresh", "prune", "stacks", "cfg"):
        if getattr(policy, name) != getattr(expected, name):
            said, way_out = f"{name}: {engine} has no such setting beside this signal", "leave it out"
            if name in ("warmup", "tail"):
                computed = head if name == "warmup" else tail
                said, way_out = f"{name}: {engine} computes {computed} there", f"write `{name}: {computed}`"
            elif name == "span":
                said, way_out = f"span: {engine} decides once for all block lists", "write `span: joined`"
            elif name == "compute":
                said, way_out = f"compute: {engine} has no blocks that always run", "write `compute: F0B0`"
            notes.append(Note(NOT_CARRIED, (name,), said, way_out))
    for name in ("max_total", "max_continuous", "max_accumulated"):
        if name not in reuse and getattr(policy.reuse, name) is not None:
            notes.append(
                Note(NOT_CARRIED, ("reuse", name), f"reuse.{name}: {engine} has no such limit", "leave it out")
            )
    return notes


def ratios_of(policy: Policy) -> Any:
    """Return the ratios of a policy's signal as YAML has them: a list, or one for each branch."""
    ratios = policy.reuse.signal.ratios
    return [] if ratios is None else RatiosKind().write(ratios)
