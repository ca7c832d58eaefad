"""A transformer that no adapter knows: its blocks are learned at its first call in a run, and then it is driven."""

from __future__ import annotations

import logging
from typing import Any

from torch import nn

from cachedsl.matching.adapter import UnsupportedModel, stack_shape
from cachedsl.plan.model_shape import ModelShape
from cachedsl.runtime import gate
from cachedsl.runtime.executor import Executor
from cachedsl.runtime.gate import Gate
from cachedsl.runtime.learn import learn
from cachedsl.runtime.objects import get_handle, set_handle
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
        self._gate: Gate | None = Gate(self, ranks=lambda: session.ranks_of(transformer))

    def attach(self) -> None:
        """Stand behind the transformer's gate, as an executor does later."""
        assert self._gate is not None, "it attaches once"
        gate.install(self._transformer, self._gate)

    def detach(self) -> None:
        """Put everything back as it was; does nothing once the model is learned."""
        if self._gate is not None:
            gate.remove(self._transformer)
            self._gate = None

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], compiled: bool) -> bool:
        """Learn the model by its first call in a run, and hand the gate over to its executor."""
        own = self._gate
        if own is None or not self._session.takes_calls():
            return False
        module, handle = self._transformer, get_handle(self._transformer)
        gate.remove(module)
        try:
            learnt = learn(module, args, kwargs)
            shapes = [
                stack_shape(self._component, path, len(module.get_submodule(path)), stack)  # type: ignore[arg-type]
                for path, stack in learnt.stacks.items()
            ]
            known = self._session.shape
            placeless = () if learnt.input.places else (self._component,)
            self._session.admit(ModelShape([*known.stacks, *shapes], known.label, (*known.placeless, *placeless)))
        except BaseException as error:
            if isinstance(error, UnsupportedModel) and not self._alone:
                logger.warning("%s.%s runs uncached: %s", self._session.label, self._component, error)
                self._gate = None
                return False
            gate.install(module, own)
            set_handle(module, handle)
            self._session.fail("could not be learned")
            raise
        logger.info("%s.%s: learned from its first call:\n%s", self._session.label, self._component, learnt.report())
        executor = Executor(self._session, self._component, module, learnt.transformer)
        gate.install(module, own)
        set_handle(module, handle)
        executor.attach(own)
        self._gate = None
        self._session.executors.append(executor)
        self._session.learnt[self._component] = learnt
        return executor.begin(args, kwargs, compiled)

    def traceable(self) -> bool:
        return False

    def leave_alone(self) -> None:
        """Do nothing: what it lets through is as it was."""

    def end(self, output: Any) -> bool:
        return True

    def failed(self) -> None:
        """Do nothing: no call that it let through is part of a run."""

    def begin_nested(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Do nothing: neither that call nor the one around it is part of a run."""

    def end_nested(self) -> None:
        """Do nothing, likewise."""
