"""The models and step counts that policies are held on, by the names that a user gives them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import product

from cachedsl.checking.lints import Held
from cachedsl.matching.adapter import Adapter
from cachedsl.matching.patterns import PATTERNS
from cachedsl.matching.reading import find_adapter, load_adapter
from cachedsl.plan.model_shape import ModelShape
from cachedsl.rules.base import ModelFacts

ADAPTER_FILES = (".yaml", ".yml")


def held_on(models: Sequence[str], steps: Iterable[int]) -> tuple[Held, ...]:
    """Return every model with every step count; where either is left out, the other alone.

    Args:
        models: families, published models, classes of transformers or pipelines, or paths of adapters' files.
        steps: step counts.

    Raises:
        UnsupportedModel: a model is not known, or its adapter does not say how many blocks it has.
        PolicyError: an adapter's file does not hold.
    """
    counts = tuple(steps) or (None,)
    if not models:
        return tuple(Held(None, None, count) for count in counts if count is not None)
    return tuple(Held(*model_named(name), count) for name, count in product(models, counts))


@lru_cache(maxsize=64)
def model_named(name: str) -> tuple[ModelShape, ModelFacts]:
    """Return the shape of a model, and what else is known of it; raises as `held_on` does."""
    if name.endswith(ADAPTER_FILES) or os.path.isfile(name):
        adapter, model, named = load_adapter(name), None, ""
    else:
        found = find_adapter(name)
        adapter, model, named = found.adapter, found.name, found.spelling
    shape = adapter.shape(model)
    facts = ModelFacts(adapter.family, shape.label, _cfg(adapter, shape.label), named, _streams(adapter, shape))
    return shape, facts


def _cfg(adapter: Adapter, name: str) -> str:
    """Return what a model's pipelines do with guidance on; nothing where the family's classes differ."""
    if name in adapter.transformers:
        return adapter.transformers[name].cfg
    modes = {transformer.cfg for transformer in adapter.transformers.values()}
    return modes.pop() if len(modes) == 1 else ""


def _streams(adapter: Adapter, shape: ModelShape) -> tuple[str, ...]:
    """Return what any block of a model returns."""
    paths = {stack.name for stack in shape.stacks}
    stacks = (found for one in adapter.transformers.values() for path, found in one.stacks.items() if path in paths)
    returned = {stream for stack in stacks for stream in PATTERNS[stack.pattern].outputs}
    return tuple(sorted(returned, reverse=True))
