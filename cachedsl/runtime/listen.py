"""Hear what a pipeline says of its transformer's calls, through diffusers' `cache_context`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define
from torch import nn

from cachedsl.runtime.objects import state_of, subclass_object
from cachedsl.runtime.observation import CallContext


@define(eq=False)
class CacheContextListener:
    """What a pipeline says of the call that it is about to make."""

    context: CallContext | None = None

    def listen(self, transformer: nn.Module, clean: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Hear this transformer's `cache_context`, where it has one, until `objects.restore`."""
        subclass_object(transformer, _methods, self, clean)


def _methods(base: type) -> dict[str, Any]:
    original: Any = getattr(base, "cache_context", None)
    if original is None:
        return {}

    @contextmanager
    def cache_context(self: nn.Module, name: str, **facts: Any) -> Iterator[None]:
        listener: CacheContextListener = state_of(self) or CacheContextListener()
        previous = listener.context
        listener.context = CallContext(name, facts.get("step_index"), facts.get("num_inference_steps"))
        try:
            with original(self, name, **facts):
                yield
        finally:
            listener.context = previous

    cache_context.__doc__ = original.__doc__
    return {"cache_context": cache_context}
