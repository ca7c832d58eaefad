"""Context parallelism by diffusers: each process has a part of the tokens, Ulysses, ring, or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffusers
import torch
from torch import nn

from cachedsl.engines.base import EngineRefused
from cachedsl.engines.processes import asked_for, mesh_of
from cachedsl.language.runtime import Parallel


def check(name: str, model: Any, part: Parallel) -> None:
    """Refuse what diffusers could not do, with the numbers.

    Args:
        name: the component's.
        model: a diffusers transformer.
        part: how many processes share tokens.

    Raises:
        EngineRefused: it cannot be split so.
    """
    label, asked = f"runtime.parallel: {name} ({type(model).__name__})", asked_for(part)
    if not torch.accelerator.device_count():
        raise EngineRefused(
            f"{label}: diffusers splits tokens over accelerators, and this machine has 0; leave {asked} out here; "
            "nothing was changed"
        )
    if getattr(model, "_cp_plan", None) is None or not hasattr(model, "enable_parallelism"):
        raise EngineRefused(
            f"{label}: diffusers {diffusers.__version__} has no plan (`_cp_plan`) for splitting its tokens; call "
            "enable_parallelism with a `cp_plan` of your own before apply(), and leave it out of the policy; nothing "
            "was changed"
        )
    if "mesh" not in _fields():
        raise EngineRefused(
            f"{label}: diffusers {diffusers.__version__} splits tokens over no mesh of ours; install 0.42 or newer; "
            "nothing was changed"
        )
    if part.uneven and min(part.ulysses, part.ring) > 1:
        raise EngineRefused(
            f"{label}: uneven goes with ulysses or with ring, not with {asked} together; nothing was changed"
        )
    if part.uneven and f"{_uneven_by(part)}_anything" not in _fields():
        raise EngineRefused(
            f"{label}: diffusers {diffusers.__version__} cannot split uneven tokens by {_uneven_by(part)}; nothing was "
            "changed"
        )
    heads = heads_of(model)
    if heads is not None and heads % part.ulysses and not part.uneven:
        raise EngineRefused(
            f"{label}: ulysses {part.ulysses} does not divide its {heads} attention heads; take a divisor of {heads}, "
            "or ring; nothing was changed"
        )
    _check_attention(label, model, part)


def heads_of(model: Any) -> int | None:
    """Return the attention heads of a model, None where its configuration does not say."""
    heads = getattr(getattr(model, "config", None), "num_attention_heads", None)
    return heads if isinstance(heads, int) else None


def _uneven_by(part: Parallel) -> str:
    return "ulysses" if part.ulysses > 1 else "ring"


def _fields() -> Mapping[str, Any]:
    found: Mapping[str, Any] = diffusers.ContextParallelConfig.__dataclass_fields__
    return found


def _check_attention(label: str, model: nn.Module, part: Parallel) -> None:
    """Refuse attention that cannot be split; diffusers says so only once half is done."""
    from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

    for module in model.modules():
        processor: Any = getattr(module, "processor", None)
        if not hasattr(processor, "_attention_backend"):
            continue
        own = processor._attention_backend
        backend = _AttentionBackendRegistry.get_active_backend()[0] if own is None else AttentionBackendName(own)
        able = sorted(_AttentionBackendRegistry._supports_context_parallel)
        if backend.value not in able:
            raise EngineRefused(
                f"{label}: its attention backend {backend.value!r} cannot be split; call "
                f"set_attention_backend() with one of {', '.join(able)}; nothing was changed"
            )
        if part.ring > 1 and backend is AttentionBackendName.NATIVE:
            others = ", ".join(one for one in able if one != backend.value)
            raise EngineRefused(
                f"{label}: ring {part.ring} needs attention that returns its log-sum-exp, and the backend "
                f"{backend.value!r} does not; call set_attention_backend() with one of {others}; nothing was changed"
            )
        return


def split(model: Any, part: Parallel) -> None:
    """Split a model's tokens; uneven ones are refused at the call, with the numbers, where that is not asked for."""
    uneven = {f"{_uneven_by(part)}_anything": True} if part.uneven else {}
    mesh = mesh_of(("ring", part.ring), ("ulysses", part.ulysses))
    config = diffusers.ContextParallelConfig(
        ring_degree=part.ring, ulysses_degree=part.ulysses, mesh=mesh["ring", "ulysses"], **uneven
    )
    _guard_outputs(model, part)
    model.enable_parallelism(config=config)
    for module in model.modules():
        registry = module.__dict__.get("_diffusers_hook")
        hooks = [] if registry is None else [h for h in registry.hooks.values() if hasattr(h, "parallel_config")]
        if any(isinstance(hook.metadata, Mapping) for hook in hooks):
            guard = _Guard(type(model).__name__, hooks, part)
            module.register_forward_pre_hook(guard, with_kwargs=True)


def _guard_outputs(model: Any, part: Parallel) -> None:
    """Let modules whose outputs diffusers splits, such as position embeddings, refuse uneven ones before that."""
    from diffusers.hooks import HookRegistry, ModelHook

    label = type(model).__name__

    class EvenOutputs(ModelHook):  # type: ignore[misc]
        def __init__(self, path: str, plan: Mapping[int, Any]) -> None:
            super().__init__()
            self.path, self.plan = path, plan

        def post_forward(self, module: nn.Module, output: Any) -> Any:
            parts = [output] if isinstance(output, torch.Tensor) else output
            for place, how in self.plan.items():
                _refuse_uneven(label, f"what `{self.path}` returns", parts[place], how, part)
            return output

    for path, plan in model._cp_plan.items():
        outputs = {k: how for k, how in plan.items() if how.split_output} if isinstance(plan, Mapping) else {}
        if outputs and "*" not in path:
            registry = HookRegistry.check_if_exists_or_initialize(model.get_submodule(path))
            registry.register_hook(EvenOutputs(path, outputs), "cachedsl_even")


def _refuse_uneven(label: str, what: str, value: Any, how: Any, part: Parallel) -> None:
    if not isinstance(value, torch.Tensor) or value.dim() != (how.expected_dims or value.dim()):
        return
    size, parts = value.shape[how.split_dim], part.ulysses * part.ring
    if size < parts or (size % parts and not part.uneven):
        way = "" if size < parts else ", or say `uneven: true`"
        raise EngineRefused(
            f"{label}: {asked_for(part)} does not divide the {size} tokens of {what} {tuple(value.shape)}; take "
            f"another size or prompt length{way}"
        )


class _Guard:
    """Refuses a call whose tokens cannot be split evenly, before anything of it is."""

    def __init__(self, label: str, hooks: list[Any], part: Parallel) -> None:
        self._label, self._hooks, self._part = label, hooks, part

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for hook in self._hooks:
            plan = hook.metadata if isinstance(hook.metadata, Mapping) else {}
            for name, how in plan.items():
                if not isinstance(name, str) or getattr(how, "split_output", True):
                    continue
                value, *_ = _given(hook, name, args, kwargs)
                _refuse_uneven(self._label, f"`{name}`", value, how, self._part)


def _given(hook: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    try:
        found: tuple[Any, ...] = hook.module_forward_metadata._get_parameter_from_args_kwargs(name, args, kwargs)
    except ValueError:  # an argument that was not given
        return (None,)
    return found
