"""One machine at work: its snapshot, and the features that its units hold."""

from __future__ import annotations

import torch

from cachedsl.machine.events import Action, DropHistory, Event, RunStarted
from cachedsl.machine.plan import StackPlan
from cachedsl.machine.transition import Snapshot, initial, transition
from cachedsl.runtime.features import UnitFeatures


class Driver:
    """Feeds events to the machine of one (stack, CFG branch) and carries out what concerns its memory."""

    def __init__(self, plan: StackPlan, num_steps: int | None) -> None:
        self.plan = plan
        self.snapshot: Snapshot = initial(plan)
        self.features = [UnitFeatures(plan.policy.predict) for _ in plan.units]
        self.feed(RunStarted(num_steps))

    def feed(self, event: Event) -> tuple[Action, ...]:
        """Take one event; returns the machine's actions, of which `DropHistory` is already done."""
        self.snapshot, actions = transition(self.plan, self.snapshot, event)
        if any(isinstance(action, DropHistory) for action in actions):
            for features in self.features:
                features.clear()
        return actions

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return every tensor that this machine's units hold."""
        return tuple(t for features in self.features for t in features.tensors())
