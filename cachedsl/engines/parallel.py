"""Split the transformers that a policy drives over the processes of `torchrun`: their tokens, or their weights."""

from __future__ import annotations

from typing import Any

from cachedsl.engines import context, tensor
from cachedsl.engines.base import EngineRefused, Target
from cachedsl.engines.processes import asked_for, check_processes, refuse_together
from cachedsl.language.runtime import Parallel


class _Splitting:
    """The engine; see `cachedsl.engines.base.Engine`."""

    def check(self, target: Target, part: Parallel) -> None:
        """Refuse what cannot be done, on all processes where one of them refuses."""
        if not part.asked:
            return
        check_processes(part)
        refusal = None
        try:
            self._check(target, part)
        except EngineRefused as error:
            refusal = error
        refuse_together(refusal)

    def _check(self, target: Target, part: Parallel) -> None:
        if part.tensor > 1 and part.ulysses * part.ring > 1:
            raise EngineRefused(
                f"runtime.parallel: diffusers splits tokens or weights, not both, but {asked_for(part)} asks for both; "
                "take one of the two; nothing was changed"
            )
        for name, adapter in target.driven.items():
            model = target.components[name]
            if _is_split(name, model, part):
                continue
            if part.tensor > 1:
                tensor.check(name, model, part, None if adapter is None else adapter.tensor)
            else:
                context.check(name, model, part)

    def engage(self, target: Target, part: Parallel) -> None:
        """Split every transformer that the policy drives, and that is not split as it says already."""
        for name, adapter in target.driven.items():
            model = target.components[name]
            if not part.asked or _is_split(name, model, part):
                continue
            if part.tensor > 1:
                tensor.split(model, part, None if adapter is None else adapter.tensor)
            else:
                context.split(model, part)


def _is_split(name: str, model: Any, part: Parallel) -> bool:
    """Tell whether a model is split as the policy says.

    Raises:
        EngineRefused: it is split otherwise.
    """
    config = getattr(model, "_parallel_config", None)
    if config is None:
        return False
    tokens, weights = config.context_parallel_config, getattr(config, "tensor_parallel_config", None)
    found = Parallel(
        1 if tokens is None else tokens.ulysses_degree,
        1 if tokens is None else tokens.ring_degree,
        1 if weights is None else weights.tp_degree,
    )
    if (found.ulysses, found.ring, found.tensor) != (part.ulysses, part.ring, part.tensor):
        raise EngineRefused(
            f"runtime.parallel: {name} ({type(model).__name__}) is split by {asked_for(found)} already, and the policy "
            f"says {asked_for(part)}; a model stays as it was split, so load it anew; nothing was changed"
        )
    return True


ENGINE = _Splitting()
