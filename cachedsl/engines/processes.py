"""The processes that `torchrun` started: whether there are as many as asked for, and meshes of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from cachedsl.engines.base import EngineRefused
from cachedsl.language.runtime import Parallel

COPIES = "copies"
"""The name of the mesh's first dimension: runs beside each other, each on `ulysses · ring · tensor` processes."""

_MESHES: dict[tuple[Any, ...], Any] = {}


def asked_for(part: Parallel) -> str:
    """Return what is asked for, in words."""
    degrees = {"ulysses": part.ulysses, "ring": part.ring, "tensor": part.tensor}
    return " × ".join(f"{name} {degree}" for name, degree in degrees.items() if degree > 1)


def check_processes(part: Parallel) -> None:
    """Refuse where there are not as many processes as are asked for.

    Raises:
        EngineRefused: they are in no process group, or their number is no multiple of what is asked for.
    """
    needed = part.ulysses * part.ring * part.tensor
    if not dist.is_available() or not dist.is_initialized():
        raise EngineRefused(
            f"runtime.parallel: {asked_for(part)} needs {needed} processes, and this one is in no process group; start "
            f"them with `torchrun --nproc-per-node {needed} SCRIPT`, and call torch.distributed.init_process_group() "
            "before apply(); nothing was changed"
        )
    world = dist.get_world_size()
    if world % needed:
        raise EngineRefused(
            f"runtime.parallel: {asked_for(part)} needs {needed} processes, or a multiple of it, and there are "
            f"{world}; start them with `torchrun --nproc-per-node {needed} SCRIPT`; nothing was changed"
        )


def device_type() -> str:
    """Return the type of device that processes run on: the accelerator's, or `cpu`."""
    accelerator = torch.accelerator.current_accelerator()
    return "cpu" if accelerator is None else accelerator.type


def mesh_of(*dimensions: tuple[str, int]) -> Any:
    """Return the mesh of all processes with these dimensions, the copies of the run before them.

    All processes must ask for it, in the same order; the same one is made once.
    """
    shape, names = tuple(size for _, size in dimensions), tuple(name for name, _ in dimensions)
    key = (dist.group.WORLD, names, shape)
    if key not in _MESHES:
        for old in [one for one in _MESHES if one[0] is not dist.group.WORLD]:
            del _MESHES[old]
        copies = dist.get_world_size() // torch.Size(shape).numel()
        _MESHES[key] = init_device_mesh(device_type(), (copies, *shape), mesh_dim_names=(COPIES, *names))
    return _MESHES[key]


def refuse_together(refusal: EngineRefused | None) -> None:
    """Raise on all processes what any of them refuses, so that none of them goes on alone.

    Raises:
        EngineRefused: this one refuses, or another.
    """
    told: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(told, None if refusal is None else str(refusal))
    if refusal is not None:
        raise refusal
    for rank, one in enumerate(told):
        if one is not None:
            raise EngineRefused(f"rank {rank} refuses: {one}")
