"""Quantise the linear layers of a pipeline's components by torchao, in place: modules and blocks stay the same objects.

What is quantised already is left alone, whoever did it: its weights are of a class of their own (torchao, GGUF,
bitsandbytes), or its layers are (Nunchaku, AWQ). What is only an adapter of such a layer, a LoRA's two matrices, is
left as it is, too.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from weakref import WeakKeyDictionary

import torch
from attrs import field, frozen
from torch import nn

from cachedsl.engines.base import EngineRefused, Target
from cachedsl.extras import need
from cachedsl.language.kinds import listed_all
from cachedsl.language.runtime import Quantize

logger = logging.getLogger("cachedsl")

Part = tuple[tuple[str, Quantize], ...]


@frozen
class Backend:
    """How one kind is done.

    Attributes:
        config: the name of torchao's configuration.
        arguments: of it.
        capability: the least compute capability of the CUDA device that it needs; None where any device will do.
        dtype: that the weights must have; None for any.
        multiple: of what a layer's inputs and outputs must be.
        inputs_only: whether `multiple` is of inputs alone.
        package: another package that torchao needs for it.
    """

    config: str
    arguments: Mapping[str, Any] = field(factory=dict)
    capability: tuple[int, int] | None = None
    dtype: torch.dtype | None = None
    multiple: int = 1
    inputs_only: bool = False
    package: str = ""


BACKENDS = {
    "int8_weight_only": Backend("Int8WeightOnlyConfig"),
    "int8_dynamic": Backend("Int8DynamicActivationInt8WeightConfig"),
    "float8_weight_only": Backend("Float8WeightOnlyConfig"),
    "float8_dynamic": Backend("Float8DynamicActivationFloat8WeightConfig", capability=(8, 9), multiple=16),
    "int4_weight_only": Backend(
        "Int4WeightOnlyConfig",
        {"group_size": 128},
        capability=(8, 0),
        dtype=torch.bfloat16,
        multiple=128,
        inputs_only=True,
        package="mslk",
    ),
}


class Quantizer:
    """Quantises by torchao, and knows what it has done to which component."""

    def __init__(self) -> None:
        self._done: WeakKeyDictionary[nn.Module, Quantize] = WeakKeyDictionary()

    def check(self, target: Target, part: Part) -> None:
        """Refuse what this machine or these models cannot do, with the numbers."""
        for name, asked in part:
            module = target.components.get(name)
            if module is None:
                raise EngineRefused(
                    f"runtime.quantize names {name!r}, and {target.label} has "
                    f"{listed_all(target.components) or 'nothing'}; name one of these; nothing was changed"
                )
            done = self._done.get(module)
            if done is None:
                self._check_one(f"runtime.quantize.{name}", module, asked)
            elif done != asked:
                raise EngineRefused(
                    f"runtime.quantize.{name} asks for {_said(asked)}, but {target.label}.{name} was made "
                    f"{_said(done)} before, which cannot be taken back; load it anew; nothing was changed"
                )

    def engage(self, target: Target, part: Part) -> None:
        """Quantise every component that is not yet."""
        for name, asked in part:
            module = target.components[name]
            if module in self._done:
                continue
            for holder, count in _already(module).items():
                logger.warning(
                    "%s.%s: %d layers are quantised already (%s), and left alone", target.label, name, count, holder
                )
            chosen = {id(layer) for _, layer in _layers(module, asked)}
            if chosen:
                _quantise(module, asked.kind, chosen)
                self._done[module] = asked

    def _check_one(self, place: str, module: nn.Module, asked: Quantize) -> None:
        backend = BACKENDS.get(asked.kind)
        if backend is None:
            raise EngineRefused(
                f"{place}: no engine does {asked.kind!r}; it does {listed_all(BACKENDS)}; nothing was changed"
            )
        _torchao()
        linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
        for pattern in asked.exclude:
            if not any(_matches(name, pattern) for name in linear):
                raise EngineRefused(
                    f"{place}.exclude: {pattern!r} matches no linear layer, such as "
                    f"{listed_all(list(linear)[:3])}; correct it; nothing was changed"
                )
        layers = dict(_layers(module, asked))
        if not layers:
            if _already(module) or not linear:
                return  # somebody else has done it: said when it is left alone
            raise EngineRefused(f"{place}.exclude leaves none of {len(linear)} linear layers; nothing was changed")
        for name, layer in layers.items():
            _check_layer(f"{place} ({asked.kind})", name, layer, backend)


def _check_layer(place: str, name: str, layer: nn.Linear, backend: Backend) -> None:
    device, dtype = layer.weight.device, layer.weight.dtype
    if backend.capability is not None:
        needed = ".".join(map(str, backend.capability))
        found = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
        if found is None or found < backend.capability:
            has = f"its weights are on {device}" if found is None else f"{device} has {'.'.join(map(str, found))}"
            raise EngineRefused(
                f"{place}: needs a CUDA device of compute capability {needed} or more, and {has}; move the model "
                "there, or take int8_weight_only; nothing was changed"
            )
    if backend.package:
        try:
            version(backend.package)
        except PackageNotFoundError:
            raise EngineRefused(
                f"{place}: torchao needs the package {backend.package} for it; pip install {backend.package}; nothing "
                "was changed"
            ) from None
    if backend.dtype is not None and dtype != backend.dtype:
        raise EngineRefused(
            f"{place}: needs weights in {backend.dtype}, and those of {name} are in {dtype}; convert the model; "
            "nothing was changed"
        )
    sizes = [layer.in_features] if backend.inputs_only else [layer.in_features, layer.out_features]
    if any(size % backend.multiple for size in sizes):
        raise EngineRefused(
            f"{place}: needs layers whose sizes are multiples of {backend.multiple}, and {name} is "
            f"{layer.in_features} x {layer.out_features}; exclude it; nothing was changed"
        )


def _layers(module: nn.Module, asked: Quantize) -> Iterator[tuple[str, nn.Linear]]:
    """Yield the linear layers that are to be quantised, by their dotted name."""
    for name, layer in _own_layers(module):
        excluded = any(_matches(name, pattern) for pattern in asked.exclude)
        if isinstance(layer, nn.Linear) and _holder(layer) is None and not excluded:
            yield name, layer


def _own_layers(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield every module; of one with an adapter on it (peft), the layer below and not the adapter's own."""
    base = module._modules.get("base_layer")
    if base is not None:
        yield from _own_layers(base, prefix)
        return
    yield prefix, module
    for name, child in module._modules.items():
        if child is not None:
            yield from _own_layers(child, f"{prefix}.{name}" if prefix else name)


def _already(module: nn.Module) -> Counter[str]:
    """Count the layers that somebody has quantised, by who holds their weights."""
    return Counter(holder for _, layer in _own_layers(module) if (holder := _holder(layer)) is not None)


_PLAIN = (nn.Parameter, torch.Tensor)
_PACKAGES = ("nunchaku", "bitsandbytes", "awq", "gptqmodel", "auto_gptq", "hqq")
"""Those whose layers may hold quantised weights in tensors of torch's own class."""


def _holder(layer: nn.Module) -> str | None:
    """Return what holds a layer's weights in fewer bits, None where they are as torch itself has them."""
    for tensor in layer._parameters.values():
        if tensor is None:
            continue
        held = next((type(one) for one in (tensor, tensor.data) if type(one) not in _PLAIN), None)
        if held is not None:
            return f"{held.__name__} of {held.__module__.partition('.')[0]}"
        if tensor.dtype.itemsize < 2:
            return str(tensor.dtype)
    package = type(layer).__module__.partition(".")[0]
    return f"{type(layer).__name__} of {package}" if package in _PACKAGES else None


def _matches(name: str, pattern: str) -> bool:
    """Tell whether an entry of `exclude` names a layer: by its dotted name, by one part of that, or as a glob."""
    return fnmatchcase(name, pattern) or any(fnmatchcase(part, pattern) for part in name.split("."))


def _said(asked: Quantize) -> str:
    return asked.kind + (f" without {', '.join(asked.exclude)}" if asked.exclude else "")


def _quantise(module: nn.Module, kind: str, chosen: set[int]) -> None:
    backend, torchao = BACKENDS[kind], _torchao()
    config = getattr(torchao, backend.config)(**backend.arguments)
    torchao.quantize_(module, config, filter_fn=lambda layer, _: id(layer) in chosen)


def _torchao() -> Any:
    need("torchao", to="quantise", extra="quantize")
    return import_module("torchao.quantization")


ENGINE = Quantizer()
