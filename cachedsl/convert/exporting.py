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
            path = (name,)
            said = f"{name}: {engine} has no such setting beside this signal"
            if name in ("warmup", "tail"):
                said = f"{name}: {engine} computes {head if name == 'warmup' else tail} there"
            notes.append(Note(NOT_CARRIED, path, said))
    for name in ("max_total", "max_continuous", "max_accumulated"):
        if name not in reuse and getattr(policy.reuse, name) is not None:
            notes.append(Note(NOT_CARRIED, ("reuse", name), f"reuse.{name}: {engine} has no such limit"))
    return notes


def ratios_of(policy: Policy) -> Any:
    """Return the ratios of a policy's signal as YAML has them: a list, or one for each branch."""
    ratios = policy.reuse.signal.ratios
    return [] if ratios is None else RatiosKind().write(ratios)
