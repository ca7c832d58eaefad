"""Drive one transformer: a call begins and ends the step of every block list, and chooses what the lists hand out."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cachedsl.matching.adapter import StackAdapter, TransformerAdapter
from cachedsl.runtime import gate, twins
from cachedsl.runtime.asking import Asking, StepFacts
from cachedsl.runtime.decide import Step, decide, signature
from cachedsl.runtime.fingerprint import read_fingerprint
from cachedsl.runtime.gate import Gate
from cachedsl.runtime.groups import find_handles
from cachedsl.runtime.model_io import first_tensor, read_model_input
from cachedsl.runtime.observation import Placed
from cachedsl.runtime.ports import list_ports, note_loop_writes
from cachedsl.runtime.slots import StackSlot
from cachedsl.runtime.twins import View
from cachedsl.runtime.viewed import Viewed
from cachedsl.runtime.weights import Weights
from cachedsl.signals import ModelInput, compare, from_first, read

if TYPE_CHECKING:
    from cachedsl.plan.ir import Plan
    from cachedsl.runtime.run import Run
    from cachedsl.runtime.session import Session

logger = logging.getLogger("cachedsl")

_ASKED = 3
"""How often calls of one outline run uncompiled in a compiled model before that is said; each branch learns by one."""
_OUTLINES = 64
"""How many outlines are counted."""


def _is_trained(module: nn.Module) -> bool:
    return module.training and torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())


_NO_FACTS = StepFacts()


class Executor:
    """Attaches to one transformer and knows it only through its adapter.

    Args:
        session: the attachment that it is part of.
        component: the pipeline's name of the transformer.
        transformer: the model.
        adapter: what its block lists are called and how their blocks take and return streams.
    """

    def __init__(self, session: Session, component: str, transformer: nn.Module, adapter: TransformerAdapter) -> None:
        self.session = session
        self.component = component
        self.transformer = transformer
        self.slots = [self._slot(path, stack) for path, stack in adapter.stacks.items()]
        self._adapter = adapter
        self._weights = Weights(transformer)
        self._gate: Gate | None = None
        self._facts = _NO_FACTS
        self._signature: object = None
        self._run: Run | None = None
        self._call: Placed | None = None
        self._thread: int | None = None
        self._nested: list[tuple[StackSlot, View | None]] = []
        self._depth = 0
        self._compiled = False
        self._can_trace = True
        self._take_turns = False
        self._came_to: StackSlot | None = None
        self._learnt = -1
        self._split: Any = None
        self._plan: Plan | None = None
        self._taps_model = False
        self._told = False
        self._uncompiled: Counter[object] = Counter()

    def _slot(self, path: str, stack: StackAdapter) -> StackSlot:
        blocks = self.transformer.get_submodule(path)
        assert isinstance(blocks, nn.ModuleList), "matching has checked the lists"
        return StackSlot(self, path, blocks, list_ports(stack, f"{self.component}.{path}", len(blocks)))

    def attach(self, at: Gate | None = None) -> None:
        """Swap the classes of the block lists and of the transformer; `at` is a gate that is there already."""
        for slot in self.slots:
            twins.adopt(slot.blocks)
        self._gate = at or Gate(self, ranks=lambda: self.session.ranks_of(self.transformer))
        self._gate.keeper = self
        if at is None:
            gate.install(self.transformer, self._gate)

    def detach(self) -> None:
        """Put everything back as it was."""
        gate.remove(self.transformer)
        for slot in self.slots:
            twins.release(slot.blocks)

    def in_forward(self) -> bool:
        """Tell whether the calling thread is inside a forward that is part of a run."""
        return self._run is not None and self._thread == threading.get_ident()

    def abandon(self) -> None:
        """Forget the forward that an exception left."""
        self._forget()
        for slot in self.slots:
            slot.drop()

    def _forget(self) -> None:
        self._run = self._call = self._thread = None
        self._nested, self._depth = [], 0
        self._facts = _NO_FACTS

    def slot(self, path: str) -> StackSlot:
        return next(slot for slot in self.slots if slot.path == path)

    def start_step(self, slot: StackSlot, passage: int) -> Step:
        """Begin a step of the stack, or chain of stacks, that `slot` is the head of."""
        assert self._run is not None
        assert self._call is not None
        driver, at, leader = self._run.start_step(self.component, slot.path, passage, self._call)
        driver.see(self._signature)
        if passage:
            handles = find_handles(slot.real_blocks())
            return Asking(driver, slot.views.ports, at, leader, self._facts, handles)
        self._tell(slot.views.can_view(driver) and not driver.needs_probe)
        return slot.views.step(driver, slot.real_blocks(), at, leader, self._facts, self._signature, self._compiled)

    def end_step(self, slot: StackSlot, step: Step, passage: int) -> None:
        assert self._run is not None
        assert self._call is not None
        driver = self._run.end_step(self.component, slot.path, passage, self._call, step)
        if not passage:
            slot.views.learn(driver, step, self._signature)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], compiled: bool) -> bool:
        """Begin a step of every list; False where the call is not part of a run."""
        if self.in_forward():  # the last forward of this thread was left without a word
            self.session.fail("interrupted")
        self._look_at_split()
        if _is_trained(self.transformer):
            self.session.tell(
                "%s is being trained (train mode, gradients on, and parameters that want them), and no gradient goes "
                "through what is reused, so it ran uncached; call eval(), or use torch.no_grad()"
            )
            return False
        changed = next((slot for slot in self.slots if slot.has_changed()), None)
        if changed is not None:
            self.session.tell(
                f"%s: the blocks in {self.component}.{changed.path} are others than those that the policy was applied "
                "to, so it ran uncached; remove() the handle and apply the policy again"
            )
            return False
        found = self._place(args, kwargs)
        compare(lambda: f"{self.component}: {found[1] if found is not None else 'a call that runs uncached'}")
        if found is None:
            return False
        run, call = found
        self._run, self._call, self._thread, self._compiled = run, call, threading.get_ident(), compiled
        try:
            self._begin(run, call, args, kwargs)
        except BaseException:
            self.session.fail("exception at the beginning of a step")
            raise
        return True

    def _look_at_split(self) -> None:
        """Forget what was made for the blocks where the model was split over processes after it was attached."""
        split = getattr(self.transformer, "_parallel_config", None)
        if split is not self._split:
            self._split = split
            for slot in self.slots:
                slot.forget_blocks()

    def _place(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Run, Placed] | None:
        assert self._gate is not None, "calls come through it"
        module = self.transformer
        return self.session.place_call(
            self.component,
            module,
            self._gate.context,
            lambda: from_first(read_fingerprint(module, self._adapter.input.latent, args, kwargs)),
        )

    def begin_nested(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Let a call pass uncached that something inside the transformer's own call makes, a hook or a callback."""
        if not self.in_forward():
            self._place(args, kwargs)  # which takes note of it
            return
        assert self._run is not None
        self._run.uncached["nested"] += 1
        self._depth += 1
        if self._depth == 1:
            self._nested = [(slot, twins.handed_out(slot.blocks)) for slot in self.slots]
            for slot in self.slots:
                twins.hand_out(slot.blocks, None)

    def end_nested(self) -> None:
        """Hand out again what the call around it was given."""
        if not self.in_forward() or not self._depth:
            return
        self._depth -= 1
        if not self._depth:
            for slot, view in self._nested:
                twins.hand_out(slot.blocks, view)
            self._nested = []

    def _begin(self, run: Run, call: Placed, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        plan = run.plan
        assert plan is not None, "the first call has compiled it"
        shown: ModelInput | None = None
        if plan is not self._plan:
            self._plan, self._taps_model = plan, any(stack.taps_model for stack in plan.stacks)
        if self._taps_model:
            shown = read_model_input(self.transformer, self._adapter.input, args, kwargs)
        self._facts = StepFacts(shown, lambda: run.timeline.mixing(call.step))
        run.computes_with(self.component, call, self._weights.look(self._all_blocks()))
        self._signature = (signature(args, kwargs), self._weights.precision)
        if run.number > self._learnt:  # a new run, and not one that goes on
            if not self._compiled:
                for slot in self.slots:
                    note_loop_writes(slot.ports, None)
            self._learnt = run.number
        steps = [slot.begin(plan) for slot in self.slots]
        traceable = self.traceable()
        decide([step for step in steps if isinstance(step, Viewed)], inside=not traceable)
        if self._compiled and not traceable:
            self._count_uncompiled()
        for slot in self.slots:
            slot.hand_out()

    def _all_blocks(self) -> list[nn.Module]:
        return [block for slot in self.slots for block in slot.blocks._modules.values() if block is not None]

    def traceable(self) -> bool:
        """Tell whether the call may be compiled: every list is in a view, and what is open can be tried."""
        if not self._compiled or not self._can_trace:
            return False
        steps = [slot.step for slot in self.slots if slot.step is not None]
        if self._take_turns and sum(isinstance(step, Viewed) and step.waits for step in steps) > 1:
            self._tell(False, "its block lists take turns, and each is decided by what it measures itself")
            return False
        return all(isinstance(step, Viewed) and step.can_trace() for step in steps)

    def came_to(self, slot: StackSlot, again: bool) -> None:
        """Take note of lists whose blocks take turns: none is behind the other, so none can be tried by itself."""
        if again and self._came_to is not slot:
            self._take_turns = True
        self._came_to = slot

    def leave_alone(self) -> None:
        """Take note that the forward cannot be compiled with twins in it: a class is asked for, or shapes are data."""
        self._can_trace = False
        self._tell(False)
        for slot in self.slots:
            if isinstance(slot.step, Viewed):
                slot.step.prepare(inside=True)

    def _tell(self, can_trace: bool, why: str = "what its policy does with its blocks cannot be in one graph") -> None:
        if can_trace or self._told or not self._compiled:
            return
        self._told = True
        logger.warning(
            "%s.%s is compiled as a whole, but %s, so it runs uncompiled; compile the blocks instead: "
            "compile_repeated_blocks()",
            self.session.label,
            self.component,
            why,
        )

    def _count_uncompiled(self) -> None:
        """Say so where calls run uncompiled of which the blocks should be known by now."""
        if len(self._uncompiled) >= _OUTLINES and self._signature not in self._uncompiled:
            self._uncompiled.clear()
        self._uncompiled[self._signature] += 1
        self._tell(
            self._uncompiled[self._signature] < _ASKED,
            "from one call of a branch to the next the shapes change, or the blocks that its loop calls",
        )

    def failed(self) -> None:
        """Fail the run: the forward was left by an exception."""
        if self.in_forward():
            self.session.fail("exception in the transformer")

    def end(self, output: Any) -> bool:
        """End the step; False where a step that was tried must be computed after all."""
        if not self.in_forward():
            return True
        run = self._run
        assert run is not None
        try:
            if not self._settle():
                return False
            for slot in self.slots:
                slot.end()
            assert self._call is not None, "set with the run"
            run.forward_ended(self.component, self._call, lambda: first_tensor(output))
        except BaseException:
            self.session.fail("exception at the end of a step")
            raise
        self._forget()
        self.session.call_ended(run)
        return True

    def _settle(self) -> bool:
        """Decide the steps that were tried, in order; what comes after one that must be computed is tried again."""
        if not self.traceable():
            return True
        viewed = [slot.step for slot in self.slots if isinstance(slot.step, Viewed)]
        tried = [step for step in viewed if step.trying]
        for step, value in zip(tried, read([step.sums() for step in tried]), strict=True):
            if not step.settle_open(value):
                for other in viewed:
                    other.again()
                return False
        return True
