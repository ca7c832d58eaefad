"""Read what a call was given, as far as it tells steps, branches and images apart: its content in a few numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from attrs import define, field
from torch import nn

from cachedsl.runtime.observation import CallFingerprint

TIMESTEPS = ("timestep", "timesteps", "t")
"""What the transformers of diffusers call it."""

_SAMPLE = 256
_EDGE = 128
_CHANNELS = 256


@torch.no_grad()
def read_fingerprint(
    module: nn.Module, latent: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> CallFingerprint | None:
    """Read a call of `module`; `latent` is the argument of that name, or else the first tensor.

    It waits for the device once for all of the call, and holds none of its tensors.

    Returns:
        None where the call has no timestep.
    """
    try:
        given = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments if args else dict(kwargs)
    except TypeError:  # which the forward itself says better
        return None
    named = next((name for name in TIMESTEPS if isinstance(given.get(name), (int, float, torch.Tensor))), None)
    if named is None:
        return None
    timestep = given.pop(named)
    noisy = given.pop(latent if latent in given else _first_tensor(given), None)
    numbers = _Numbers()
    read_timestep, read_latent = numbers.content(timestep), numbers.content(noisy)
    level, sample, parts = _level(numbers, timestep), _sample(numbers, noisy), _parts(numbers, noisy)
    others = [(name, numbers.content(value)) for name, value in given.items()]
    numbers.fetch()
    return CallFingerprint(
        timestep=read_timestep(),
        level=level(),
        shape=_shape(noisy),
        latent=read_latent(),
        sample=sample(),
        parts=parts(),
        others=tuple((name, read()) for name, read in others),
    )


Read = Callable[[], Any]


@define
class _Numbers:
    """Collects numbers of many tensors, to fetch them from each device at once."""

    _asked: dict[torch.device, list[torch.Tensor]] = field(factory=dict)
    _sizes: dict[torch.device, int] = field(factory=dict)
    _got: dict[torch.device, list[float]] = field(factory=dict)

    def ask(self, values: torch.Tensor) -> Callable[[], tuple[float, ...]]:
        """Ask for a few numbers; what is returned gives them once they are fetched."""
        device, flat = values.device, values.detach().flatten()
        wide = torch.float32 if device.type == "mps" else torch.float64
        start = self._sizes.get(device, 0)
        stop = self._sizes[device] = start + flat.numel()
        self._asked.setdefault(device, []).append(flat.to(wide))
        return lambda: tuple(self._got[device][start:stop])

    def fetch(self) -> None:
        self._got = {device: torch.cat(parts).tolist() for device, parts in self._asked.items()}

    def content(self, value: Any) -> Read:
        """Ask for what two values of the same content have in common, and others hardly."""
        if isinstance(value, torch.Tensor):
            kind = (tuple(value.shape), str(value.dtype))
            if value.device.type == "meta":
                return lambda: kind
            real = torch.view_as_real(value) if value.is_complex() else value
            wide = torch.promote_types(real.dtype, torch.float32)
            sums = [real.sum(dtype=wide)]
            if real.is_floating_point() and real.numel():
                sums.append(torch.linalg.vector_norm(real, dtype=wide))
            read = self.ask(torch.stack(sums))
            return lambda: (*kind, read())
        if isinstance(value, Mapping):
            items = [(str(key), self.content(part)) for key, part in value.items()]
            return lambda: tuple((key, part()) for key, part in items)
        if isinstance(value, (list, tuple)):
            parts = [self.content(part) for part in value]
            return lambda: tuple(part() for part in parts)
        plain = value if isinstance(value, (bool, int, float, str)) else type(value).__name__
        return lambda: (type(plain).__name__, plain)


def _level(numbers: _Numbers, timestep: Any) -> Callable[[], float]:
    if not isinstance(timestep, torch.Tensor):
        return lambda: float(timestep)
    mean = numbers.ask(timestep.double().mean() if timestep.device.type != "mps" else timestep.float().mean())
    return lambda: mean()[0]


def _tensor(latent: Any) -> torch.Tensor | None:
    """Return the latent, or the first of a list of them, where it is one of numbers with a point."""
    first = latent[0] if isinstance(latent, (list, tuple)) and latent else latent
    if not isinstance(first, torch.Tensor) or not first.is_floating_point() or first.device.type == "meta":
        return None
    return first.detach() if first.numel() else None


def _shape(latent: Any) -> tuple[int, ...]:
    if isinstance(latent, (list, tuple)):
        return tuple(size for part in latent for size in _shape(part))
    return tuple(latent.shape) if isinstance(latent, torch.Tensor) else ()


def _sample(numbers: _Numbers, latent: Any) -> Callable[[], tuple[float, ...]]:
    tensor = _tensor(latent)
    if tensor is None:
        return tuple
    flat = tensor.flatten()
    return numbers.ask(flat[:: max(1, flat.numel() // _SAMPLE)][:_SAMPLE])


def _parts(numbers: _Numbers, latent: Any) -> Callable[[], tuple[Any, ...]]:
    """Ask for the first and the last elements, and for the sum of each channel where channels are an axis of their own.

    Of a call without the image that another has, the noisy channels, or the first or last tokens, are the same.
    """
    tensor = _tensor(latent)
    if tensor is None:
        return tuple
    flat = tensor.flatten()
    edges = [("first", numbers.ask(flat[:_EDGE])), ("last", numbers.ask(flat[-_EDGE:]))]
    sums = []
    for axis in {1, tensor.dim() - 1} if tensor.dim() > 2 else ():
        if tensor.shape[axis] <= _CHANNELS:
            rest = [other for other in range(tensor.dim()) if other != axis]
            sums.append((axis, numbers.ask(tensor.sum(rest, dtype=torch.promote_types(tensor.dtype, torch.float32)))))

    def read() -> tuple[Any, ...]:
        found: list[Any] = [(edge, values()) for edge, values in edges]
        found = [(edge, values) for edge, values in found if len(set(values)) > 1]
        for axis, values in sums:
            found += [(axis, place, value) for place, value in enumerate(values()) if value]
        return tuple(found)

    return read


def _first_tensor(given: Mapping[str, Any]) -> str:
    return next((name for name, value in given.items() if isinstance(value, torch.Tensor)), "")
