"""Attach a policy to a diffusers pipeline or to a bare transformer."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from cachedsl.engines import FindRanks, Target, engage, ranks_given
from cachedsl.language.policy import Policy
from cachedsl.lower.compile import check_fit, compile_policy
from cachedsl.matching.adapter import Adapter, TransformerAdapter, UnsupportedModel, stack_shape
from cachedsl.matching.reading import match_transformer, require_adapter, supported_families
from cachedsl.plan.model_shape import ModelShape
from cachedsl.runtime.errors import AlreadyAttached
from cachedsl.runtime.executor import Executor
from cachedsl.runtime.foreign import other_cache
from cachedsl.runtime.handle import Cached, check_steps
from cachedsl.runtime.learn import learnable
from cachedsl.runtime.objects import (
    base_class,
    get_handle,
    is_subclassed,
    restore,
    set_handle,
    state_of,
    subclass_object,
)
from cachedsl.runtime.origin import callbacks_of
from cachedsl.runtime.pending import Pending
from cachedsl.runtime.session import Session

Matched = list[tuple[str, nn.Module, TransformerAdapter]]


def attach(
    policy: Policy,
    target: Any,
    num_inference_steps: int | None = None,
    adapter: Adapter | None = None,
    group: Any = None,
    verify_ranks: bool = False,
) -> Cached:
    """Attach `policy` to `target`; everything is checked before anything is changed.

    `Policy.apply` describes arguments, result and errors. `cachedsl.runtime.learn` says how the blocks of a transformer
    that no adapter knows are learned.
    """
    if group is not None and policy.runtime.parallel.asked:
        raise TypeError(
            "group is for engines that split the model themselves; `runtime: {parallel: ...}` of the policy makes "
            "groups of its own, so leave one of the two out"
        )
    verify = verify_ranks or policy.runtime.parallel.verify
    ranks = ranks_given(group, verify)
    target = _uncompiled(target)
    is_pipeline = not isinstance(target, (nn.Module, type)) and hasattr(target, "components") and callable(target)
    if is_pipeline and num_inference_steps is not None:
        raise TypeError("num_inference_steps is for bare transformers; a pipeline is told at each call")
    if num_inference_steps is not None:
        check_steps(num_inference_steps)
    matched = _match(target, is_pipeline, adapter)
    unknown = [] if matched else _unknown(target, is_pipeline)
    transformers = [*((name, module) for name, module, _ in matched), *unknown]
    _refuse_attached(target, transformers)
    shape = _shape(target, matched)
    check_fit(policy, shape)
    if matched and not is_pipeline and num_inference_steps is not None:
        compile_policy(policy, shape, num_inference_steps)
    components = _modules(target, is_pipeline)
    driven = {name: None for name, _ in unknown} | {name: known for name, _, known in matched}
    engage(policy.runtime, Target(base_class(target).__name__, components, driven, target if is_pipeline else None))
    session = Session(
        policy=policy,
        label=base_class(target).__name__,
        shape=shape,
        declared_cfg=matched[0][2].cfg if matched else "fused",
        scheduler=(lambda: getattr(target, "scheduler", None)) if is_pipeline else (lambda: None),
        steps=num_inference_steps,
        announced=(lambda: getattr(target, "_num_timesteps", None)) if is_pipeline else (lambda: None),
        pipeline=target if is_pipeline else None,
    )
    session.ranks = ranks
    session.find_ranks = FindRanks(lambda: verify)
    session.executors = [Executor(session, name, module, adapter) for name, module, adapter in matched]
    pending = [Pending(session, name, module, alone=len(unknown) == 1) for name, module in unknown]
    waiting: list[Executor | Pending] = [*session.executors, *pending]
    for each in waiting:
        each.attach()
    if is_pipeline:
        _scope_calls(target, session)
    cached = Cached(session, lambda: _detach(target, session, pending))
    for owner in (target, *(module for _, module in transformers)):
        set_handle(owner, cached)
    return cached


def attached(target: Any) -> Cached | None:
    """Return the handle of the policy that is attached to a pipeline or transformer, or None.

    Args:
        target: a pipeline or a transformer; one that `torch.compile` has wrapped, too.

    Example:
        ```python
        from cachedsl import attached

        cached = policy.apply(pipe)
        assert attached(pipe) is attached(pipe.transformer) is cached
        ```
    """
    handle: Cached | None = get_handle(_uncompiled(target))
    return handle


def _detach(target: Any, session: Session, pending: list[Pending]) -> None:
    everything: list[Executor | Pending] = [*session.executors, *pending]
    for each in everything:
        each.detach()
    restore(target)


def _match(target: Any, is_pipeline: bool, own: Adapter | None) -> Matched:
    """Find the transformers of `target` that an adapter knows, in the order of its components."""
    if not is_pipeline and not isinstance(target, nn.Module):
        raise UnsupportedModel(
            f"apply() takes a diffusers pipeline or a transformer (torch.nn.Module), got {_named(target)}"
        )
    if isinstance(target, nn.Module) and type(target).forward is nn.Module.forward:
        raise UnsupportedModel(
            f"apply() takes a diffusers pipeline or a transformer, got a {base_class(target).__name__}, which nobody "
            "calls; give it the transformer that these blocks are in"
        )
    found: Matched = []
    if own is not None:
        require_adapter(own)
        _check_own(target, _modules(target, is_pipeline), own)
    for name, module in _modules(target, is_pipeline).items():
        adapter = match_transformer([cls.__name__ for cls in base_class(module).__mro__], own)
        if adapter is not None:
            found.append((name, module, adapter))
    return found


def _named(target: Any) -> str:
    if isinstance(target, type):
        return f"the class {target.__name__}; give it an object of that class"
    return type(target).__name__


def _check_own(target: Any, modules: dict[str, nn.Module], own: Adapter) -> None:
    classes = {cls.__name__ for module in modules.values() for cls in base_class(module).__mro__}
    if not classes & own.transformers.keys():
        seen = ", ".join(f"{name}: {base_class(module).__name__}" for name, module in modules.items()) or "no modules"
        raise UnsupportedModel(
            f"the adapter {own.family!r} is for {', '.join(own.transformers)}, and {base_class(target).__name__} has "
            f"none of them ({seen}); name the transformer's class in the adapter; nothing was changed"
        )


def _modules(target: Any, is_pipeline: bool) -> dict[str, nn.Module]:
    components = target.components if is_pipeline else {"transformer": target}
    return {name: _uncompiled(module) for name, module in components.items() if isinstance(module, nn.Module)}


def _uncompiled(target: Any) -> Any:
    """Return what `torch.compile` wrapped, which is what it calls; anything else as it is."""
    return getattr(target, "_orig_mod", target) if isinstance(target, nn.Module) else target


def _unknown(target: Any, is_pipeline: bool) -> list[tuple[str, nn.Module]]:
    """Return the modules whose blocks can be learned at their first call.

    Raises:
        UnsupportedModel: there is none.
    """
    modules = _modules(target, is_pipeline)
    found = [(name, module) for name, module in modules.items() if learnable(name, module)]
    if not found:
        seen = ", ".join(f"{name}: {base_class(module).__name__}" for name, module in modules.items()) or "no modules"
        raise UnsupportedModel(
            f"no adapter knows a transformer of {base_class(target).__name__} ({seen}), and none of them is a "
            "transformer with lists of blocks that could be learned; families with an adapter: "
            f"{', '.join(supported_families())}; nothing was changed"
        )
    return found


def _refuse_attached(target: Any, transformers: list[tuple[str, nn.Module]]) -> None:
    for name, module in [("", target), *transformers]:
        holder = attached(module)
        if holder is not None or is_subclassed(module):
            what = (
                f"{base_class(target).__name__}.{name}"
                if name and module is not target
                else base_class(target).__name__
            )
            policy = f"policy {holder.policy.name!r}" if holder else "a policy"
            raise AlreadyAttached(
                f"{what} already runs under {policy}; call remove() on its handle, or cachedsl.attached(...).remove(), "
                "first; nothing was changed"
            )
        cache = other_cache(module)
        if cache is not None:
            raise AlreadyAttached(
                f"{base_class(module).__name__} already runs under {cache[0]}; {cache[1]}; nothing was changed"
            )


def _shape(target: Any, matched: Matched) -> ModelShape:
    stacks = []
    for name, module, adapter in matched:
        for path in adapter.stacks:
            blocks = _block_list(module, path)
            stacks.append(stack_shape(name, path, len(blocks), adapter.stacks[path]))
    placeless = [name for name, _, adapter in matched if not adapter.input.places]
    return ModelShape(stacks, base_class(target).__name__, tuple(placeless))


def _block_list(module: nn.Module, path: str) -> nn.ModuleList:
    try:
        blocks = module.get_submodule(path)
    except AttributeError:
        blocks = None
    if not isinstance(blocks, nn.ModuleList):
        raise UnsupportedModel(
            f"the adapter of {base_class(module).__name__} names the block list {path!r}, but the model has no "
            "ModuleList there; nothing was changed"
        )
    return blocks


def _scope_calls(pipe: Any, session: Session) -> None:
    """Let every call of this one pipeline object be a run."""
    subclass_object(pipe, _calling, session)


def _calling(base: Any) -> dict[str, Any]:
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        session: Session | None = state_of(self)
        if session is None:
            return base.__call__(self, *args, **kwargs)
        callbacks = callbacks_of(base.__call__, (self, *args), kwargs)
        with session.call_of_pipeline(callbacks, code):
            return base.__call__(self, *args, **kwargs)

    code = __call__.__code__
    return {"__call__": functools.wraps(base.__call__)(__call__)}
