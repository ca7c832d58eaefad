"""Drive one machine as the executor does, one own step at a time."""

from __future__ import annotations

from attrs import define, field

from cachedsl.machine.events import (
    Action,
    ComputeUnit,
    DropHistory,
    Measure,
    ReuseUnit,
    RunStarted,
    StepEnded,
    StepStarted,
    StoreAnchor,
    UnitDone,
    UnitMeasured,
    UnitReached,
)
from cachedsl.machine.snapshot import Snapshot, initial
from cachedsl.machine.transition import transition
from cachedsl.plan.ir import StackPlan


@define
class Drive:
    """A machine, what the executor would hold for it, and the decisions so far."""

    plan: StackPlan
    state: Snapshot = field(init=False)
    anchor_step: int | None = None
    decisions: list[tuple[str, str]] = field(factory=list)
    actions: list[Action] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.state = initial(self.plan)

    def feed(self, event: object) -> tuple[Action, ...]:
        self.state, actions = transition(self.plan, self.state, event)  # type: ignore[arg-type]
        self.actions += actions
        if any(isinstance(a, DropHistory) for a in actions):
            self.anchor_step = None
        return actions

    def start(self, steps: int | None) -> None:
        self.feed(RunStarted(steps))
        self.decisions = []

    def step(self, index: int, value: float, *, shape_changed: bool = False, leader: str | None = None) -> str:
        """Go through one step; returns the verdict. A shape can only have changed where there is an anchor."""
        self.feed(StepStarted(index, leader))  # type: ignore[arg-type]
        actions = self.feed(UnitReached(0, shape_changed and self.anchor_step is not None))
        if any(isinstance(a, Measure) for a in actions):
            actions = self.feed(UnitMeasured(0, value))
        decided = next(a for a in actions if isinstance(a, (ComputeUnit, ReuseUnit)))
        verdict = "reuse" if isinstance(decided, ReuseUnit) else "compute"
        if verdict == "reuse":
            assert self.anchor_step is not None, "reused before anything was computed"
            assert self.anchor_step < index, "an anchor must be older than the step that uses it"
        stored = self.feed(UnitDone(0))
        assert any(isinstance(a, StoreAnchor) for a in stored) == (verdict == "compute")
        if verdict == "compute":
            self.anchor_step = index
        self.feed(StepEnded())
        self.decisions.append((verdict, decided.reason))
        return verdict
