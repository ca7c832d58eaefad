"""Parallelism and quantisation: configs become the `runtime` section of the policy."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from cachedsl.compat.cache_dit.notices import report
from cachedsl.compat.cache_dit.parallelism import ParallelismConfig
from cachedsl.compat.cache_dit.quantization import QuantizeConfig
from cachedsl.compat.cache_dit.targets import Target
from cachedsl.convert.cache_dit import runtime_from_options
from cachedsl.engines import Target as EngineTarget
from cachedsl.engines import engage
from cachedsl.language.part import CONVERTER
from cachedsl.language.policy import Policy
from cachedsl.language.runtime import Runtime
from cachedsl.runtime.objects import base_class


def runtime_of(
    target: Target, parallelism: ParallelismConfig | None, quantize: QuantizeConfig | None
) -> dict[str, Any]:
    """Return the `runtime` section as a tree, empty where nothing is asked for. Raises `ConversionError`."""
    said = None if parallelism is None else parallelism.options()
    converted = runtime_from_options(said, None if quantize is None else quantize.options())
    known = [note for note in converted.notes if note.path[-1] != "regional_quantize"]
    report(known)
    tree = dict(converted.tree)
    if quantize is not None and "quantize" in tree:
        tree["quantize"] = _of_components(target, quantize, tree["quantize"])
    return tree


def _of_components(target: Target, quantize: QuantizeConfig, tree: dict[str, Any]) -> dict[str, Any]:
    """Name the components as the pipeline does, and leave out what regional quantisation leaves as it is."""
    found = {}
    for name, part in tree.items():
        asked = target.driven if quantize.components_to_quantize is None else (_largest(target, name),)
        for component in asked or (name,):
            own = dict(part)
            module = target.components.get(component)
            excluded = list(own.pop("exclude", ()))
            if module is not None and quantize.regional_of(name):
                excluded += outside_of_blocks(module, quantize.repeated_blocks)
            if module is not None:
                excluded = [pattern for pattern in excluded if _matches_any(module, pattern)]
            found[component] = {**own, "exclude": excluded} if excluded else own
    return found


def _largest(target: Target, name: str) -> str:
    """Return the component that a name means: of several text encoders, that with the most parameters."""
    if name != "text_encoder":
        return name
    encoders = {key: one for key, one in target.components.items() if key.startswith("text_encoder")}
    return max(encoders, key=lambda key: sum(p.numel() for p in encoders[key].parameters()), default=name)


def _matches_any(module: nn.Module, pattern: str) -> bool:
    """Tell whether a pattern leaves any linear layer out; cache-dit's own list is for all models, and most have few."""
    linear = [name for name, one in module.named_modules() if isinstance(one, nn.Linear)]
    return any(fnmatchcase(part, pattern) for name in linear for part in (name, *name.split(".")))


def outside_of_blocks(module: nn.Module, repeated: list[str]) -> list[str]:
    """Return the names of a transformer's own parts that hold none of its repeated blocks.

    Args:
        module: the transformer.
        repeated: class names of its repeated blocks; by default what the model says of itself in `_repeated_blocks`.
            Where neither says anything, all of it is quantised.
    """
    names = set(repeated or getattr(module, "_repeated_blocks", None) or ())
    if not names:
        return []
    children = module.named_children()
    return [name for name, child in children if not any(base_class(one).__name__ in names for one in child.modules())]


def engage_on(target: Target, runtime: dict[str, Any]) -> None:
    """Do what a `runtime` section asks for without caching anything: it stays when the policy is removed.

    Raises:
        EngineRefused: it cannot be done.
        CachedslError: the target has no transformer.
    """
    if not runtime:
        return
    uncached = Policy(name="cache-dit", compute="F0B0", reuse={"threshold": 0}, runtime=runtime)  # type: ignore[arg-type]
    uncached.apply(target.attached, adapter=target.adapter).remove()


def quantize(module: nn.Module, quantize_config: QuantizeConfig | None = None, **kwargs: Any) -> nn.Module:
    """Quantise the linear layers of one module in place, and return it.

    Args:
        module: a transformer, a text encoder or any other module.
        quantize_config: how; `components_to_quantize` is for `enable_cache`.
        **kwargs: the fields of `QuantizeConfig`, where it is not given.

    Raises:
        ConversionError: a policy cannot say it.
        EngineRefused: this machine cannot do it.
        TypeError: nothing says how.
    """
    if quantize_config is None and not kwargs:
        raise TypeError("quantize() needs a `quantize_config`, or a `quant_type`")
    config = quantize_config or QuantizeConfig.from_kwargs(**kwargs)
    alone = dataclasses.replace(config, components_to_quantize=None)
    target = Target(module, {"transformer": module}, ("transformer",))
    asked = CONVERTER.structure(runtime_of(target, None, alone), Runtime)
    nothing: Any = {}  # nothing of it is driven by a policy
    engage(asked, EngineTarget(base_class(module).__name__, target.components, nothing))
    return module
