"""The transformer's calls, caught in plain Python around whatever is compiled, and what its pipeline says of them."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from attrs import define, field
from torch import nn

from cachedsl.runtime.objects import restore, state_of, subclass_object
from cachedsl.runtime.observation import CallContext
from cachedsl.signals import Ranks, reducing

logger = logging.getLogger("cachedsl")

_EVAL_FRAME: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
"""Where dynamo tells whether it listens to the frames of this thread; torch has no public way to ask."""
_GRAPHS = 64
"""How many graphs of one forward dynamo may keep, where it would keep 8: one for each kind of step, plan and model that
is in use."""
_untraced: Any = torch.compiler.disable
_skipped: Any = torch._dynamo.decorators.skip
"""For plain Python that runs while dynamo listens: it is not traced, and what it calls may be.

`torch.compiler.disable(recursive=False)` means to be the same. Newer versions put a function of their own around that
which is not to be traced, and trace it after all, in pieces, unless the caller insists on `fullgraph=True`.
"""


class Keeper(Protocol):
    """What stands behind a gate: it begins and ends every call of the transformer."""

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], compiled: bool) -> bool:
        """Prepare a call; `compiled` tells that its forward is compiled as a whole. False lets it pass uncached."""
        ...

    def traceable(self) -> bool:
        """Tell whether the call that has begun may be compiled."""
        ...

    def leave_alone(self) -> None:
        """Take note that the forward cannot be compiled with what its lists hand out."""
        ...

    def end(self, output: Any) -> bool:
        """End the call; False where the forward must run once more, for another step than was prepared."""
        ...

    def failed(self) -> None:
        """Take note that the call was left by an exception."""
        ...

    def begin_nested(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Let a call pass uncached that something inside the transformer's own call makes."""
        ...

    def end_nested(self) -> None:
        """Take note that such a call is over, well or not."""
        ...


@define(eq=False)
class Gate:
    """The state of one transformer whose calls are caught, kept in the transformer itself.

    Attributes:
        keeper: who begins and ends the calls.
        context: what the pipeline says of the call that it is about to make, through diffusers' `cache_context`.
        ranks: returns those that must decide alike about a call; None where this one is alone.
    """

    keeper: Keeper
    context: CallContext | None = None
    ranks: Callable[[], Ranks | None] = lambda: None
    _calls: dict[int, list[bool]] = field(factory=dict)
    _hooks: dict[int, Any] = field(factory=dict)
    _reducing: dict[int, AbstractContextManager[None]] = field(factory=dict)
    _lock: Any = field(factory=threading.RLock)
    _room: Any = None
    _given: list[tuple[Any, Any]] = field(factory=list)

    @_skipped  # type: ignore[untyped-decorator]
    def inside(self) -> bool:
        """Tell whether the calling thread is in a call already."""
        return bool(self._calls.get(threading.get_ident()))

    @_skipped  # type: ignore[untyped-decorator]
    def passes(self, outer: bool) -> bool:
        """Tell whether what is called is the inner half of the call that this thread is in."""
        due = self._calls.get(threading.get_ident())
        if outer or not due or not due[-1]:
            return False
        due[-1] = False
        return True

    @_skipped  # type: ignore[untyped-decorator]
    def enter(self, outer: bool) -> None:
        """Count a call of this thread; by the `outer` half, the inner one is due."""
        self._calls.setdefault(threading.get_ident(), []).append(outer)

    @_skipped  # type: ignore[untyped-decorator]
    def expect(self, inner: bool) -> None:
        self._calls[threading.get_ident()][-1] = inner

    def _exit(self) -> None:
        thread = threading.get_ident()
        calls = self._calls[thread]
        calls.pop()
        if not calls:
            del self._calls[thread]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def begin_nested(self, outer: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.enter(outer)
        self.keeper.begin_nested(args, kwargs)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def end_nested(self) -> None:
        self._exit()
        self.keeper.end_nested()

    def begin(
        self, module: nn.Module, outer: bool, args: tuple[Any, ...], kwargs: dict[str, Any], compiled: bool
    ) -> bool:
        thread = threading.get_ident()
        if compiled:  # a graph has no thread of its own, so nobody else may run it meanwhile
            self._lock.acquire()
        self.enter(outer)
        try:
            ranks = self.ranks()
            if ranks is not None:
                self._reducing[thread] = reducing(ranks)
                self._reducing[thread].__enter__()
            cached = self.keeper.begin(args, kwargs, compiled)
        except BaseException:
            self.leave(compiled)
            raise
        if cached and not compiled:  # so that other forward hooks see the step ended
            self._hooks[thread] = module.register_forward_hook(self._after, prepend=True)
        return cached

    begin_untraced: ClassVar[Any] = _untraced(begin)
    """The same, while dynamo listens."""

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        thread = threading.get_ident()
        if len(self._calls.get(thread, ())) != 1:  # a nested call has returned, or one of another thread
            return
        hook = self._hooks.pop(thread, None)
        if hook is not None:
            hook.remove()
            self.keeper.end(output)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def traceable(self, arguments: object) -> bool:
        traced = self.keeper.traceable()
        self._given = list(_containers(arguments)) if traced else []
        config: Any = torch._dynamo.config
        if traced and config.recompile_limit < _GRAPHS:  # for this call of this thread, as long as it lasts
            self._room = config.patch(recompile_limit=_GRAPHS)
            self._room.__enter__()
        return traced

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def untraceable(self, error: BaseException) -> bool:
        """Tell whether dynamo failed at the forward by itself or by what twins do, before anything ran.

        It is not asked to again. What it cannot make of the model's own code, it says of the bare model too.
        """
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        own = place is not None and "_dynamo" in place.tb_frame.f_code.co_filename
        failed = own and (
            isinstance(error, (AssertionError, torch._dynamo.exc.InternalTorchDynamoError)) or _is_of_twins(error)
        )
        if failed:
            self.keeper.leave_alone()
        return failed

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def failed(self) -> None:
        self.keeper.failed()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def end(self, output: Any) -> bool:
        if self.keeper.end(output):
            return True
        for container, held in self._given:  # HunyuanDiT pops a ControlNet's residuals off the list that it is given
            container.clear()
            container.update(held) if isinstance(container, dict) else container.extend(held)
        return False

    def leave(self, compiled: bool) -> None:
        hook = self._hooks.pop(threading.get_ident(), None)
        if hook is not None:
            hook.remove()
        added_up = self._reducing.pop(threading.get_ident(), None)
        if added_up is not None:
            added_up.__exit__(None, None, None)
        self._exit()
        if compiled:
            room, self._room, self._given = self._room, None, []
            if room is not None:
                room.__exit__(None, None, None)
            self._lock.release()

    leave_untraced: ClassVar[Any] = _untraced(leave)
    """The same, while dynamo listens."""


@_skipped  # type: ignore[untyped-decorator]
def _is_compiled(module: nn.Module) -> bool:
    """Tell whether the forward that is about to run is compiled as a whole, by either way that torch has."""
    if module.__dict__.get("_compiled_call_impl") is not None:
        return True
    callback = getattr(_EVAL_FRAME, "get_eval_frame_callback", None)
    return callback is not None and callback() not in (None, False)


def _is_of_twins(error: BaseException) -> bool:
    """Tell whether the line that dynamo refuses is one of ours, such as one that compares shapes that are data."""
    if not isinstance(error, torch._dynamo.exc.TorchDynamoException):
        return False
    stack = getattr(error, "real_stack", None) or ()
    return [Path(frame.filename).parent for frame in stack[-1:]] == [Path(__file__).parent]


def _containers(value: object) -> Iterator[tuple[Any, Any]]:
    """Yield the lists and dictionaries among arguments, each with a copy, for a forward that must run once more."""
    if isinstance(value, (list, dict)):
        yield value, value.copy()
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from _containers(part)


def _tell_missing() -> None:
    """Warn of a torch that does not tell what must be known of it."""
    if not hasattr(_EVAL_FRAME, "get_eval_frame_callback"):
        logger.warning(
            "torch %s does not tell whether a call goes through torch.compile(model), so such a model would run with "
            "graph breaks under a policy; use model.compile(), or compile the blocks: compile_repeated_blocks()",
            torch.__version__,
        )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _uncompiled(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what dynamo is to leave alone, where the caller insists on one graph, too."""
    try:
        return call(*args, **kwargs)
    finally:
        # `fullgraph=True` takes a call without a compiled frame for a mistake, and torch has no public way to say that
        # it is none; versions that do not count frames do not take it so
        counted = getattr(_EVAL_FRAME, "set_fullgraph_compiled_frame_count", None)
        if counted is not None:
            frames = counted(-1)
            counted(frames + 1 if frames >= 0 else frames)


def _methods(base: Any) -> dict[str, Any]:
    def guarded(original: Callable[..., Any], outer: bool) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            gate: Gate | None = state_of(self)
            if gate is None or gate.passes(outer):
                return original(self, *args, **kwargs)
            if gate.inside():
                gate.begin_nested(outer, args, kwargs)
                try:
                    return original(self, *args, **kwargs)
                finally:
                    gate.end_nested()
            compiled = _is_compiled(self)
            begin, leave = (gate.begin_untraced, gate.leave_untraced) if compiled else (gate.begin, gate.leave)
            cached = begin(self, outer, args, kwargs, compiled)
            try:
                if not cached:
                    return original(self, *args, **kwargs)
                traced = not compiled or gate.traceable((args, kwargs))
                while True:
                    gate.expect(outer and traced)
                    try:
                        if traced:
                            output = original(self, *args, **kwargs)
                        else:
                            output = _uncompiled(base._call_impl, self, *args, **kwargs)
                    except BaseException as error:
                        if traced and compiled and gate.untraceable(error):
                            traced = False
                            continue
                        gate.failed()
                        raise
                    if not compiled or gate.end(output):
                        return output
            finally:
                leave(compiled)

        # begin and end of a call are plain Python; what runs in between is for dynamo to trace
        return _skipped(functools.wraps(original)(call))

    # `torch.compile` made before calls the second one; the first goes around what `Module.compile` made
    body = {"__call__": guarded(base.__call__, True), "_call_impl": guarded(base._call_impl, False)}
    original: Any = getattr(base, "cache_context", None)
    if original is None:
        return body

    @contextmanager
    def cache_context(self: nn.Module, name: str, **facts: Any) -> Iterator[None]:
        gate: Gate | None = state_of(self)
        with original(self, name, **facts):
            if gate is None:
                yield
                return
            previous = gate.context
            gate.context = CallContext(name, facts.get("step_index"), facts.get("num_inference_steps"))
            try:
                yield
            finally:
                gate.context = previous

    cache_context.__doc__ = original.__doc__
    return {**body, "cache_context": cache_context}


def install(transformer: nn.Module, gate: Gate) -> None:
    """Let all calls of the transformer go through `gate`, and what its pipeline says of them."""
    _tell_missing()
    subclass_object(transformer, _methods, gate)


def remove(transformer: nn.Module) -> None:
    """Undo `install`."""
    restore(transformer)
