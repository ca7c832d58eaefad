"""Drive one transformer: its forward begins and ends the step, its block lists ask what to do with each block."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from attrs import define
from torch import nn

from cachedsl.adapter_model import StackAdapter, TransformerAdapter
from cachedsl.machine.plan import Plan
from cachedsl.runtime.asking import Asking
from cachedsl.runtime.clock import Call, CallContext
from cachedsl.runtime.given import read_given
from cachedsl.runtime.model_io import first_tensor, read_model_input
from cachedsl.runtime.objects import restore, specialise
from cachedsl.runtime.ports import Port, Ports, list_ports, note_loop_writes
from cachedsl.runtime.stacks import conduct, release
from cachedsl.signals import ModelInput

if TYPE_CHECKING:
    from cachedsl.runtime.run import Run
    from cachedsl.runtime.session import Session


class StackSlot:
    """One block list of one transformer while a policy is attached."""

    def __init__(self, executor: Executor, path: str, blocks: nn.ModuleList, ports: tuple[Port, ...]) -> None:
        self.executor = executor
        self.path = path
        self.blocks = blocks
        self.ports = ports
        self._head = self
        self._offset = 0
        self._chain: Ports = ports
        self._step: Asking | None = None
        self._pass = 0
        self._last = -1

    def conducting(self) -> bool:
        return self.executor.conducting()

    def begin(self, plan: Plan) -> None:
        """Start the list's first pass of this forward, or hand its calls to the head of the chain that it is in."""
        shape = plan.stack(self.executor.component, self.path).shape
        paths = [path for path, _ in shape.members]
        slots = [self.executor.slot(path) for path in paths]
        self._head, self._step = slots[0], None
        self._offset = sum(count for _, count in shape.members[: paths.index(self.path)])
        if self._head is self:
            self._chain = tuple(port for slot in slots for port in slot.ports)
            self._pass, self._last = 0, -1
            self._step = self.executor.start_step(self, 0, self._chain)

    def end(self) -> None:
        if self._step is not None:
            self.executor.end_step(self, self._step, self._pass)
        self.drop()

    def drop(self) -> None:
        self._step = None

    def call_block(self, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return self._head.take(self._offset + index, block, args, kwargs)

    def take(self, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Answer one call of the model's loop; a chain that is entered again has one machine per pass."""
        if index <= self._last and self._step is not None:
            self.executor.end_step(self, self._step, self._pass)
            self._pass += 1
            self._step = self.executor.start_step(self, self._pass, self._chain)
        self._last = index
        if self._step is None:
            return block(*args, **kwargs)
        return self._step.call_block(index, block, args, kwargs)


@define
class Heard:
    """What a pipeline says of the call that it is about to make, through diffusers' `cache_context`."""

    context: CallContext | None = None

    def listeners(self, transformer: nn.Module) -> dict[str, Any]:
        """Return a `cache_context` for a class of the transformer's own, where it has one, that also tells here."""
        original: Any = getattr(type(transformer), "cache_context", None)
        if original is None:
            return {}
        heard = self

        @contextmanager
        def cache_context(self: nn.Module, name: str, **facts: Any) -> Iterator[None]:
            previous = heard.context
            heard.context = CallContext(name, facts.get("step_index"), facts.get("num_inference_steps"))
            try:
                with original(self, name, **facts):
                    yield
            finally:
                heard.context = previous

        cache_context.__doc__ = original.__doc__
        return {"cache_context": cache_context}


class Executor:
    """Attaches to one transformer and knows it only through its adapter.

    Args:
        session: the attachment that it is part of.
        component: the pipeline's name of the transformer.
        transformer: the model.
        adapter: what its block lists are called and how their blocks take and return streams.
        heard: what the pipeline says of its calls, where somebody has listened already.
    """

    def __init__(
        self,
        session: Session,
        component: str,
        transformer: nn.Module,
        adapter: TransformerAdapter,
        heard: Heard | None = None,
    ) -> None:
        self.session = session
        self.component = component
        self.transformer = transformer
        self.slots = [self._slot(path, stack) for path, stack in adapter.stacks.items()]
        self._adapter = adapter
        self._model_input: ModelInput | None = None
        self.heard = heard or Heard()
        self._run: Run | None = None
        self._call: Call | None = None
        self._thread: int | None = None
        self._learnt = -1
        self._handles: list[Any] = []

    def _slot(self, path: str, stack: StackAdapter) -> StackSlot:
        blocks = self.transformer.get_submodule(path)
        assert isinstance(blocks, nn.ModuleList), "matching has checked the lists"
        label = f"{self.component}.{path}"
        return StackSlot(self, path, blocks, list_ports(stack, label, len(blocks)))

    def attach(self) -> None:
        """Swap the block lists' classes and register the hooks."""
        self._handles = [
            self.transformer.register_forward_pre_hook(self.before_forward, prepend=True, with_kwargs=True),
            self.transformer.register_forward_hook(self._after, always_call=True),
        ]
        for slot in self.slots:
            conduct(slot.blocks, slot)
        specialise(self.transformer, self.heard.listeners(self.transformer), self._without_hooks)

    def detach(self) -> None:
        """Put everything back as it was."""
        restore(self.transformer)
        for slot in self.slots:
            release(slot.blocks)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def conducting(self) -> bool:
        return self._run is not None and self._thread == threading.get_ident()

    def abandon(self) -> None:
        """Forget the forward that an exception left."""
        self._run = self._call = self._thread = self._model_input = None
        for slot in self.slots:
            slot.drop()

    def slot(self, path: str) -> StackSlot:
        return next(slot for slot in self.slots if slot.path == path)

    def start_step(self, slot: StackSlot, passage: int, ports: Ports) -> Asking:
        """Begin a step of the stack, or chain of stacks, that `slot` is the head of."""
        assert self._run is not None
        assert self._call is not None
        return self._run.start_step(self.component, slot.path, passage, self._call, ports, self._model_input)

    def end_step(self, slot: StackSlot, step: Asking, passage: int) -> None:
        assert self._run is not None
        assert self._call is not None
        self._run.end_step(self.component, slot.path, passage, self._call, step)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before_forward(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Begin a step of every list; the hook that goes before the transformer's forward."""
        if self.conducting():  # the last forward of this thread was left by a KeyboardInterrupt
            self.session.fail("interrupted")
        run = self.session.run_for_call(lambda: read_given(module, self._adapter.input.latent, args, kwargs))
        if run is None:
            return
        call = run.begin_call(self.heard.context, self.component)
        self._run, self._call, self._thread = run, call, threading.get_ident()
        assert run.plan is not None, "the first call has compiled it"
        if any(stack.taps_model for stack in run.plan.stacks):
            self._model_input = read_model_input(module, self._adapter.input, args, kwargs)
        for slot in self.slots:
            if run.number != self._learnt:
                note_loop_writes(slot.ports, None)
            slot.begin(run.plan)
        self._learnt = run.number

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        if not self.conducting():
            return
        run = self._run
        assert run is not None
        if output is None:  # the hook is called on an exception too, and then there is no output
            self.session.fail("exception in the transformer")
            return
        try:
            for slot in self.slots:
                slot.end()
            assert self._call is not None, "set with the run"
            run.forward_ended(self.component, self._call, lambda: first_tensor(output))
        except BaseException:
            self.session.fail("exception at the end of a step")
            raise
        self._run = self._call = self._thread = self._model_input = None
        self.session.call_ended(run)

    def _without_hooks(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return a module's state without the two hooks, for copies and pickles."""
        ours = {handle.id for handle in self._handles}
        cleaned = dict(state)
        for key, value in state.items():
            if key.startswith(("_forward_hooks", "_forward_pre_hooks")):
                cleaned[key] = type(value)((k, v) for k, v in value.items() if k not in ours)
        return cleaned
