"""A transformer that no adapter knows: its blocks are learned at its first call in a run, and then it is driven."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from cachedsl.matching.adapter import UnsupportedModel, stack_shape
from cachedsl.plan.model_shape import ModelShape
from cachedsl.runtime.executor import Executor
from cachedsl.runtime.learn import learn
from cachedsl.runtime.listen import CacheContextListener
from cachedsl.runtime.objects import get_handle, restore, set_handle
from cachedsl.runtime.session import Session

logger = logging.getLogger("cachedsl")


class Pending:
    """Waits for the first call of one transformer.

    Args:
        session: the attachment that it is part of; gets the executor once there is one.
        component: the pipeline's name of the transformer.
        transformer: the model.
        alone: whether it is the only one; else it is left as it is where it cannot be learned.
    """

    def __init__(self, session: Session, component: str, transformer: nn.Module, alone: bool = True) -> None:
        self._session = session
        self._component = component
        self._transformer = transformer
        self._alone = alone
        self._listener = CacheContextListener()
        self._hook: Any = None

    def attach(self) -> None:
        """Register the hook; the model's class is its own from now on, as under an executor."""
        self._hook = self._transformer.register_forward_pre_hook(self._first_call, prepend=True, with_kwargs=True)
        self._listener.listen(self._transformer, self._without_hook)

    def detach(self) -> None:
        """Put everything back as it was; does nothing once the model is learned."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            restore(self._transformer)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _first_call(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._session.takes_calls():
            return
        handle = get_handle(module)
        self.detach()
        try:
            learnt = learn(module, args, kwargs)
            shapes = [
                stack_shape(self._component, path, len(module.get_submodule(path)), stack)  # type: ignore[arg-type]
                for path, stack in learnt.stacks.items()
            ]
            self._session.admit(ModelShape([*self._session.shape.stacks, *shapes], self._session.label))
        except BaseException as error:
            if isinstance(error, UnsupportedModel) and not self._alone:
                logger.warning("%s.%s runs uncached: %s", self._session.label, self._component, error)
                return
            self.attach()
            set_handle(module, handle)
            self._session.fail("could not be learned")
            raise
        logger.info("%s.%s: learned from its first call:\n%s", self._session.label, self._component, learnt.report())
        executor = Executor(self._session, self._component, module, learnt.transformer, self._listener)
        executor.attach()
        set_handle(module, handle)
        self._session.executors.append(executor)
        self._session.learnt[self._component] = learnt
        executor.before_forward(module, args, kwargs)

    def _without_hook(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return a module's state without the hook, for copies and pickles."""
        cleaned = dict(state)
        for key, value in state.items():
            if key.startswith("_forward_pre_hooks") and self._hook is not None:
                cleaned[key] = type(value)((k, v) for k, v in value.items() if k != self._hook.id)
        return cleaned
