"""Who makes a transformer's call: the pipeline's loop, or something that runs inside it, by what is on the stack."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from torch import nn

from cachedsl.runtime.observation import Origin

CALLBACKS = ("callback_on_step_end", "callback")
"""What diffusers calls the arguments by which a pipeline's call takes a user's function."""

_outermost: set[CodeType] = set()

_MODULE_CALL = nn.Module._call_impl.__code__


def outermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function whose calls of a model are judged as if nothing were around it: it tries a model, say."""
    _outermost.add(function.__code__)
    return function


def callbacks_of(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> frozenset[CodeType]:
    """Return the code of the callbacks that a pipeline's call is given."""
    try:
        given = inspect.signature(call).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # which the call itself says better
        given = kwargs
    more = given.get("kwargs")
    given = {**given, **(more if isinstance(more, dict) else {})}
    found = (_code(given[name]) for name in CALLBACKS if name in given)
    return frozenset(code for code in found if code is not None)


def _code(function: Any) -> CodeType | None:
    """Return the code of the user's own function, and not that of a decorator, which others may have too."""
    while isinstance(function, functools.partial):
        function = function.func
    if callable(function) and not hasattr(function, "__code__") and not hasattr(function, "__func__"):
        function = type(function).__call__
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def origin_of_call(
    module: nn.Module, pipeline: Any = None, callbacks: frozenset[CodeType] = frozenset(), whole: CodeType | None = None
) -> Origin:
    """Tell who is about to call `module`, before its own `_call_impl` runs.

    Args:
        module: the transformer.
        pipeline: the attached pipeline, None for a bare transformer.
        callbacks: the code of what the pipeline's user gave it to call.
        whole: the code of the pipeline's call as a whole; what is around it does not matter.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:  # of every call, so it is kept plain
        code = frame.f_code
        if code in _outermost:
            return "loop"
        if code is _MODULE_CALL and frame.f_locals.get("self") is module:
            return "nested"
        if code in callbacks:
            return "callback"
        if pipeline is not None and code is whole:
            if frame.f_locals.get("self") is pipeline:
                return "loop"
            return "pipeline"
        if pipeline is not None and code.co_name == "__call__" and _is_another_pipeline(frame, pipeline):
            return "pipeline"
        frame = frame.f_back
    return "loop"


def _is_another_pipeline(frame: FrameType, pipeline: Any) -> bool:
    caller = frame.f_locals.get("self")
    if caller is None or caller is pipeline or isinstance(caller, nn.Module):
        return False
    return hasattr(type(caller), "components") and hasattr(type(caller), "from_pretrained")
