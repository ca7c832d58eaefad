"""Tensor parallelism by diffusers: each process has a part of the weights of each layer.

Which layers are split how is the class's own plan in diffusers (`_tp_plan`), or the adapter's `tensor`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diffusers
import torch
from torch import nn

from cachedsl.engines.base import EngineRefused
from cachedsl.engines.context import heads_of
from cachedsl.engines.processes import device_type, mesh_of
from cachedsl.language.runtime import Parallel
from cachedsl.matching.adapter import TensorAdapter


def check(name: str, model: Any, part: Parallel, own: TensorAdapter | None) -> None:
    """Refuse what diffusers could not do, with the numbers.

    Args:
        name: the component's.
        model: a diffusers transformer.
        part: how many processes share weights.
        own: the adapter's plan.

    Raises:
        EngineRefused: it cannot be split so.
    """
    label = f"runtime.parallel: {name} ({type(model).__name__})"
    if not hasattr(diffusers, "TensorParallelConfig"):
        raise EngineRefused(
            f"{label}: tensor {part.tensor} needs diffusers 0.42 or newer, and {diffusers.__version__} is installed; "
            "nothing was changed"
        )
    from diffusers.hooks import tensor_parallel as library

    if device_type() not in library._SUPPORTED_TP_DEVICES:
        raise EngineRefused(
            f"{label}: diffusers splits weights on {', '.join(library._SUPPORTED_TP_DEVICES)}, and this machine has "
            f"{device_type()}; leave tensor {part.tensor} out here; nothing was changed"
        )
    plan = plan_of(model, own)
    if plan is None:
        raise EngineRefused(
            f"{label}: neither diffusers {diffusers.__version__} (`_tp_plan`) nor its adapter (`tensor`) says how its "
            "weights are split; give the adapter a `tensor` section; nothing was changed"
        )
    heads = heads_of(model)
    if heads is not None and heads % part.tensor:
        raise EngineRefused(
            f"{label}: tensor {part.tensor} does not divide its {heads} attention heads; take a divisor of {heads}; "
            "nothing was changed"
        )
    config = diffusers.TensorParallelConfig(tp_degree=part.tensor)
    try:
        library._check_tp_supported(type(model).__name__, plan, heads, config, model=model)
        library.resolve_tp_shard_specs(model, plan, part.tensor)
    except ValueError as error:
        raise EngineRefused(f"{label}: {error} nothing was changed") from error


def plan_of(model: nn.Module, own: TensorAdapter | None) -> dict[str, Any] | None:
    """Return diffusers' plan for a model: the class's own, or the adapter's with what this model has of it."""
    declared: dict[str, Any] | None = getattr(type(model), "_tp_plan", None)
    if declared is not None or own is None:
        return declared
    from diffusers.hooks.tensor_parallel import PackedRowwiseParallel

    plan: dict[str, Any] = {path: "colwise" for path in own.colwise if _has(model, path)}
    plan |= {path: "rowwise" for path in own.rowwise if _has(model, path)}
    for path, sources in own.joined.items():
        block = next(iter(_modules(model, path.partition("*")[0] + "*")), None)
        if block is not None:
            plan[path] = PackedRowwiseParallel([block.get_submodule(source).out_features for source in sources])
    return plan


def split(model: Any, part: Parallel, own: TensorAdapter | None) -> None:
    """Split a model's weights."""
    mesh = mesh_of(("tp", part.tensor))["tp"]
    model._tp_plan = plan_of(model, own)
    model.enable_parallelism(config=diffusers.TensorParallelConfig(tp_degree=part.tensor, mesh=mesh))
    if own is None or getattr(type(model), "_tp_plan", None) is not None:
        return
    for path in own.heads:
        for module in _modules(model, path):
            module.heads //= part.tensor
    for path in own.norms:
        for module in _modules(model, path):
            _norm_across(module, mesh)


def _norm_across(norm: Any, mesh: Any) -> None:
    """Let an RMS norm over the channels of all heads, of which each process has a part, go by the mean over all.

    The norm of the part, x / rms(part) · w, is corrected by rms(part) / rms(all).
    """
    size, rank, group = mesh.size(), mesh.get_local_rank(), mesh.get_group()
    if norm.weight is not None:
        part = norm.weight.detach().chunk(size)[rank].clone()
        norm.weight = nn.Parameter(part, requires_grad=norm.weight.requires_grad)
    for shape in ("normalized_shape", "dim"):
        whole = getattr(norm, shape, None)
        if whole is not None:
            setattr(norm, shape, torch.Size([*whole[:-1], whole[-1] // size]))

    def correct(module: Any, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        from torch.distributed._functional_collectives import all_reduce

        entry = args[0].float()
        here = entry.square().mean(-1, keepdim=True)
        everywhere = all_reduce(here, "sum", group) / size
        eps = torch.finfo(args[0].dtype).eps if module.eps is None else module.eps
        corrected: torch.Tensor = output * ((here + eps) / (everywhere + eps)).sqrt()
        return corrected.to(output.dtype)

    norm.register_forward_hook(correct)


def _has(model: nn.Module, path: str) -> bool:
    return next(_modules(model, path), None) is not None


def _modules(model: nn.Module, path: str) -> Iterator[Any]:
    """Yield the modules that a path names, `*` for each of a list; none where the model has none there."""
    before, star, after = path.partition(".*")
    holders: list[Any] = list(_child(model, before) or []) if star else [model]
    for holder in holders:
        inside = after.removeprefix(".") if star else path
        found = _child(holder, inside) if inside else holder
        if found is not None:
            yield found


def _child(module: nn.Module, path: str) -> Any:
    found: Any = module
    for atom in path.split("."):
        found = found._modules.get(atom) if isinstance(found, nn.Module) else None
    return found
