"""One block list of a transformer under a policy, and the chain of lists that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from attrs import define
from torch import nn

from cachedsl.plan.ir import Plan
from cachedsl.runtime import twins
from cachedsl.runtime.arrival import Arrival, arrival
from cachedsl.runtime.asking import Asking
from cachedsl.runtime.decide import Step, Views
from cachedsl.runtime.ports import Port

if TYPE_CHECKING:
    from cachedsl.runtime.executor import Executor


@define(eq=False)
class Place:
    """Where a block is asked about: the list, the block's index in it, and what a hook makes of its arguments."""

    slot: StackSlot
    index: int
    block: nn.Module
    arrive: Arrival | None = None


def ask(place: Place, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer a block's call as the head of its chain says."""
    return place.slot.take(place, run, args, kwargs)


class StackSlot:
    """One block list of one transformer while a policy is attached; the first of a chain takes the chain's steps."""

    def __init__(self, executor: Executor, path: str, blocks: nn.ModuleList, ports: tuple[Port, ...]) -> None:
        self.executor = executor
        self.path = path
        self.blocks = blocks
        self.ports = ports
        parent, _, self._name = path.rpartition(".")
        self._siblings = executor.transformer.get_submodule(parent)._modules
        self.step: Step | None = None
        self._views: dict[tuple[str, ...], Views] = {}
        self._asked: dict[int, Any] = {}
        self._chain: list[StackSlot] = [self]
        self._views_now: Views | None = None
        self._plan: Plan | None = None
        self._offset = 0
        self._pass = 0
        self._last = -1

    def has_changed(self) -> bool:
        """Tell whether the transformer has another list here by now, or the list another number of blocks."""
        return self._siblings.get(self._name) is not self.blocks or len(self.blocks) != len(self.ports)

    @property
    def head(self) -> StackSlot:
        return self._chain[0]

    @property
    def views(self) -> Views:
        """Of the chain that the list is the head of."""
        if self._views_now is None:
            key = tuple([slot.path for slot in self._chain])
            if key not in self._views:
                self._views[key] = Views(tuple(port for slot in self._chain for port in slot.ports))
            self._views_now = self._views[key]
        return self._views_now

    def begin(self, plan: Plan) -> Step | None:
        """Find the chain that the list is in, and start the first pass of this forward if it is its head."""
        if plan is not self._plan:
            shape = plan.stack(self.executor.component, self.path).shape
            paths = [path for path, _ in shape.members]
            self._chain = [self.executor.slot(path) for path in paths]
            self._offset = sum(count for _, count in shape.members[: paths.index(self.path)])
            self._views_now, self._plan = None, plan
        self.step, self._pass, self._last = None, 0, -1
        if self.head is self:
            self.step = self.executor.start_step(self, 0)
        return self.step

    def real_blocks(self) -> list[Any]:
        """Return the modules of the whole chain."""
        return list(chain.from_iterable([slot.blocks._modules.values() for slot in self._chain]))

    def hand_out(self) -> None:
        """Let the list hand out what the step of its chain has chosen."""
        step, count = self.head.step, len(self.blocks._modules)
        if isinstance(step, Asking):
            items = [self._twin(index, block) for index, block in enumerate(self.blocks._modules.values())]
        elif step is not None and step.chain is not None:
            items = step.chain.items
            if len(items) != count:
                items = items[self._offset : self._offset + count]
        else:
            return
        twins.hand_out(self.blocks, twins.View(items))

    def _twin(self, index: int, block: nn.Module | None) -> Any:
        if block is None:
            return None
        known = self._asked.get(index)  # one for each place, so that a loop can compare them with `is`
        if known is None or known._cachedsl_block is not block:
            arrive = arrival(block, [name for name, _ in self.ports[index].arguments(block)])
            known = self._asked[index] = twins.twin(block, ask, Place(self, index, block, arrive))
        return known

    def forget_blocks(self) -> None:
        """Forget what was made for the blocks as they were, before somebody split the model over processes."""
        self._views.clear()
        self._asked.clear()

    def end(self) -> None:
        if self.step is not None:
            self.executor.end_step(self, self.step, self._pass)
        self.drop()

    def drop(self) -> None:
        self.step = None
        twins.hand_out(self.blocks, None)

    def take(self, place: Place, run: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Answer one call of the model's loop; a chain that is entered again has one machine per pass."""
        head, index = self.head, self._offset + place.index
        if index <= head._last and head.step is not None:
            head.views.again = True
            head.executor.end_step(head, head.step, head._pass)
            head._pass += 1
            head.step = head.executor.start_step(head, head._pass)
        head.executor.came_to(head, again=head._last >= 0)
        head._last = index
        if not isinstance(head.step, Asking):
            return run(*args, **kwargs)
        return head.step.call_block(index, place.block, run, args, kwargs)
