"""Before a call: how each stack's step is taken, and what can be decided of it by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from attrs import define, field
from torch import nn

from cachedsl.plan.ir import StackPlan
from cachedsl.runtime.asking import Asking, StepFacts
from cachedsl.runtime.chains import Chain, build
from cachedsl.runtime.driver import Driver
from cachedsl.runtime.features import Position
from cachedsl.runtime.fingerprint import TIMESTEPS
from cachedsl.runtime.groups import find_handles
from cachedsl.runtime.ports import Ports
from cachedsl.runtime.traits import LoopTraits, Path
from cachedsl.runtime.viewed import Viewed
from cachedsl.signals import Sums, read

Step = Asking | Viewed

_KEPT = 8
"""How many views of a chain are kept: those of another policy, or of branches that leave blocks out; and how many
signatures, those of branches and sizes."""


@define(eq=False)
class Views:
    """The views of one chain of lists, made when they are first needed, and what was learned of the chain.

    Attributes:
        ports: of the chain's blocks.
        paths: which blocks the loop called when they were last asked one by one, in any branch, by the signature of
            the call.
        again: whether the loop has gone through the chain more than once in one forward.
    """

    ports: Ports
    paths: dict[object, Path] = field(factory=dict)
    again: bool = False
    _made: list[tuple[tuple[Any, ...], Chain]] = field(factory=list)
    _now: tuple[StackPlan, Path, int, Sequence[nn.Module], tuple[Any, ...], Chain] | None = None
    _keeps: bool = field(init=False)
    _loops: list[LoopTraits] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._keeps = any(port.keeps for port in self.ports)
        self._loops = list({id(port.loop): port.loop for port in self.ports}.values())

    def can_view(self, driver: Driver) -> bool:
        """Whether the chain can be a view at all: one middle, entered once, whose blocks keep nothing each."""
        return driver.is_span and not self.again and not self._keeps

    def step(
        self,
        driver: Driver,
        blocks: Sequence[nn.Module],
        at: Position,
        leader: Literal["compute", "reuse"] | None,
        facts: StepFacts,
        signature: object,
        compiled: bool,
    ) -> Step:
        """Begin a step: in a view where its blocks are known, else asked one by one.

        A run's first step in a branch is asked, so that what was learned holds; in a graph once is enough.
        """
        path, known, handles = driver.path, driver.signature, find_handles(blocks)
        if compiled and path is None:
            path, known = self.paths.get(signature), signature
        if path is None or known != signature or not self.can_view(driver):
            return Asking(driver, self.ports, at, leader, facts, handles)
        # a list whose middle such calls leave out as a whole does not keep the others from being compiled
        if len(path.units) != len(driver.plan.units) and (path.units or not compiled):
            return Asking(driver, self.ports, at, leader, facts, handles)
        driver.path, driver.signature = path, known
        return Viewed(driver, self.ports, path, self._chain(driver, path, blocks, handles), at, leader, facts)

    def _chain(self, driver: Driver, path: Path, blocks: Sequence[nn.Module], handles: tuple[Any, ...]) -> Chain | None:
        """Return the view for `path`; None where the blocks themselves are handed out."""
        if driver.exact or not path.units:
            return None
        plan, now = driver.plan, self._now
        learned = sum([loop.learned for loop in self._loops])
        if now is not None and now[0] is plan and now[1] is path and now[2:5] == (learned, blocks, handles):
            return now[5]
        chain = self._find(driver, path, blocks, handles)
        self._now = plan, path, learned, blocks, handles, chain
        return chain

    def _find(self, driver: Driver, path: Path, blocks: Sequence[nn.Module], handles: tuple[Any, ...]) -> Chain:
        plan, shows = driver.plan, driver.shows_modulated_input
        unit, called = plan.units[0], path.units[0]
        traits = tuple([port.traits for port in self.ports])
        key = (plan.front, unit, called, plan.taps_front, shows, tuple(blocks), traits, handles)
        for known, chain in self._made:
            if known == key:
                return chain
        chain = build(
            self.ports,
            blocks,
            unit,
            called,
            front_blocks=plan.front,
            taps=plan.taps_front,
            shows=shows,
            handles=handles,
        )
        self._made = [*self._made[1 - _KEPT :], (key, chain)]
        return chain

    def learn(self, driver: Driver, step: Step, signature: object) -> None:
        """Take note of what asking block by block has shown."""
        path = step.path() if isinstance(step, Asking) else None
        if path is not None:
            driver.path, driver.signature = path, signature
            self.paths.pop(signature, None)
            self.paths[signature] = path
            if len(self.paths) > _KEPT:
                del self.paths[next(iter(self.paths))]


def decide(steps: Sequence[Viewed], inside: bool) -> None:
    """Decide what is known before the call, all values that must be measured for it together.

    Args:
        steps: of all stacks.
        inside: whether what stays open can be decided within the call.
    """
    asked: list[tuple[Viewed, Sums | float]] = []
    for step in steps:
        sums = step.before_call()
        if sums is not None:
            asked.append((step, sums))
    if asked:
        for (step, _), value in zip(asked, read([sums for _, sums in asked]), strict=True):
            step.measured(value)
    for step in steps:
        step.prepare(inside)


def signature(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
    """Return what two calls have in common whose blocks get tensors of the same shapes and dtypes."""
    named = tuple([(name, _outline(value)) for name, value in kwargs.items() if name not in TIMESTEPS])
    return (tuple([None if isinstance(value, int) else _outline(value) for value in args]), named)


def _outline(value: Any) -> object:
    if isinstance(value, torch.Tensor):
        return value.shape, value.dtype
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *map(_outline, value))
    if isinstance(value, Mapping):
        return tuple((key, _outline(part)) for key, part in value.items())
    return value if isinstance(value, (bool, int, str)) else type(value).__name__
