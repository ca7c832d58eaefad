"""Learn the adapter of a model that nobody has described, from one call of it, and check it by running.

What the guess takes for lists of blocks is tried with the call's own arguments: attached and computed, the model must
return the same tensors; reused with the same input, the same up to rounding. What does not pass is left out, so a
learned adapter is slower at worst.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import torch
from attrs import evolve, field, frozen
from torch import nn

from cachedsl.infer import Guess, Memory, SeenList, copied, guess, guess_input, is_block_list, tensors, watch
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching.adapter import Adapter, InputAdapter, StackAdapter, TransformerAdapter, UnsupportedModel
from cachedsl.runtime.objects import base_class
from cachedsl.runtime.origin import outermost
from cachedsl.signals import any_rank

logger = logging.getLogger("cachedsl")

TOLERANCE = 1e-4
"""By how much of its largest value an output may differ where a step was reused with the same input."""


SHARE = 0.05
"""A list with less of all lists' parameters is left alone: nothing is won there, and small networks drift most."""


@frozen
class Learnt:
    """What was learnt of a model.

    Attributes:
        class_name: of the model.
        lists: every block list, in execution order, with what was made of it.
        stacks: those that passed, as in `TransformerAdapter`.
        input: which argument seems to be the latent, and whether its axes are places.
    """

    class_name: str
    lists: tuple[tuple[SeenList, Guess], ...]
    stacks: dict[str, StackAdapter]
    input: InputAdapter = field(factory=InputAdapter)

    @property
    def transformer(self) -> TransformerAdapter:
        return TransformerAdapter(cfg="fused", stacks=self.stacks, input=self.input)

    def adapter(self, family: str | None = None) -> Adapter:
        """Return it as an adapter; `Adapter.to_yaml` writes it."""
        name = family or self.class_name.lower()
        return Adapter(name, {self.class_name: self.transformer})

    def report(self) -> str:
        """Say of each block list what was seen and what was made of it, a line each."""
        lines = [
            f"{seen.path}: {seen.blocks} blocks ({', '.join(seen.classes)}), "
            + (f"{found.stack.pattern}" if found.stack is not None else f"left out: {found.reason}")
            for seen, found in self.lists
        ]
        return "\n".join(lines) or "it has no ModuleList of two blocks or more"


def learn(model: nn.Module, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Learnt:
    """Learn how the blocks of `model` are called, from one call with these arguments.

    It is called a dozen times, each time with copies of the arguments (generators of random numbers among them) and in
    the state that it was in before: its buffers (256 MiB of them, the smallest first) and the numbers among its
    modules' attributes are put back, and so are Python's and numpy's own generators; torch's is put back at the end.
    What else a model remembers of its calls, in lists or in tensors that are no buffers, is as after a dozen calls.

    Args:
        model: a transformer that no policy is attached to.
        args: positional arguments of its forward.
        kwargs: keyword arguments of its forward.

    Returns:
        The block lists that can be reused.

    Raises:
        UnsupportedModel: there are none, and the message says of each list what was seen; or the output cannot be
            compared: it has no tensor, no finite number, or is another one each time.
    """
    with _undisturbed(model) as memory:
        trial = _Trial(model, tuple(args), dict(kwargs or {}), memory)
        seen = watch(model, *trial.arguments())
        total = sum(trial.size(one.path) for one in seen if not one.inside)
        name = base_class(model).__name__
        expected = trial.call()
        if not _finite(expected):
            raise UnsupportedModel(
                f"{name}: every number in its output is NaN or infinite, so no reuse can be checked; look for what "
                f"makes it so (weights, inputs, a dtype too short), or {_GIVE}"
            )
        if any_rank(not _same(expected, trial.call()), expected[0].device):
            way = "put it in eval mode" if model.training else "it draws random numbers, or remembers its calls"
            raise UnsupportedModel(
                f"{name}: two calls with the same input gave different outputs, so no reuse can be checked; {way}; "
                f"{_GIVE}"
            )
        guesses = _outermost({one.path: (one, _guess(trial, one, total)) for one in seen})
        stacks = {path: found.stack for path, (_, found) in guesses.items() if found.stack is not None}
        if trial.refuses(stacks, expected):
            guesses, stacks = _one_by_one(trial, seen, total, expected)
        if stacks and any(trial.refuses(stacks, expected, compute) for compute in (Compute(0, 1), Compute(2, 0))):
            stacks = {path: evolve(stack, long_skips=True) for path, stack in stacks.items()}
    stacks = {path: evolve(stack, blocks=guesses[path][0].blocks) for path, stack in stacks.items()}
    given = inspect.signature(model.forward).bind_partial(*args, **dict(kwargs or {})).arguments
    learnt = Learnt(name, tuple(guesses.values()), stacks, guess_input(given))
    if not stacks:
        raise UnsupportedModel(
            f"{name}: no adapter knows it, and none of its block lists can be reused as they are:\n{learnt.report()}\n"
            f"{_GIVE}"
        )
    return learnt


_GIVE = "give an adapter (cachedsl.load_adapter); nothing is cached"

Guesses = dict[str, tuple[SeenList, Guess]]


def _guess(trial: _Trial, seen: SeenList, total: int) -> Guess:
    found = guess(seen)
    if found.stack is not None and trial.size(seen.path) < SHARE * total:
        return Guess(None, f"less than {SHARE:.0%} of the parameters of all lists")
    return _of_one_shape(seen, found)


def _of_one_shape(seen: SeenList, found: Guess) -> Guess:
    """Leave out levels, as a UNet has: what such a block adds to its input cannot be told, or measured.

    So are blocks between which the loop itself takes another level: what all of them add is not what they did.
    """
    hidden = "" if found.stack is None else found.stack.hidden or ""
    for call in seen.calls:
        entry = call.tensors.get(hidden)
        if entry is not None and entry.shape not in call.output:
            left = next((shape for shape in call.output if isinstance(shape, tuple)), ())
            return Guess(None, f"its block {call.index} takes {hidden} as {entry.shape} and returns it as {left}")
    for before, call in pairwise(seen.calls):
        other, entry = before.tensors.get(hidden), call.tensors.get(hidden)
        if other is not None and entry is not None and call.index > before.index and other.shape != entry.shape:
            return Guess(
                None,
                f"its block {call.index} takes {hidden} as {entry.shape} where block {before.index} took it as "
                f"{other.shape}",
            )
    return found


def _outermost(guesses: Guesses) -> Guesses:
    """Leave out lists inside the blocks of others."""
    outer = {path for path, (_, found) in guesses.items() if found.stack is not None}
    return {path: (one, _inside(one, outer) or found) for path, (one, found) in guesses.items()}


def _inside(seen: SeenList, outer: set[str]) -> Guess | None:
    around = seen.inside & outer
    return Guess(None, f"inside the blocks of {', '.join(sorted(around))}") if around else None


def _one_by_one(
    trial: _Trial, seen: Sequence[SeenList], total: int, expected: list[torch.Tensor]
) -> tuple[Guesses, dict[str, StackAdapter]]:
    """Try every list alone, those inside others last; then together, without the smallest until they pass."""
    guesses: Guesses = {one.path: (one, Guess(None)) for one in seen}
    stacks: dict[str, StackAdapter] = {}
    for one in sorted(seen, key=lambda one: len(one.inside)):
        found = _inside(one, set(stacks)) or _tried(trial, one, _guess(trial, one, total), expected)
        guesses[one.path] = one, found
        if found.stack is not None:
            stacks[one.path] = found.stack
    stacks = {path: stacks[path] for path in guesses if path in stacks}
    while len(stacks) > 1 and (reason := trial.refuses(stacks, expected)):
        smallest = min(stacks, key=trial.size)
        del stacks[smallest]
        guesses[smallest] = guesses[smallest][0], Guess(None, f"together with the others: {reason}")
    return guesses, stacks


def _tried(trial: _Trial, seen: SeenList, found: Guess, expected: list[torch.Tensor]) -> Guess:
    if found.stack is None:
        return found
    reason = trial.refuses({seen.path: found.stack}, expected)
    if not reason:
        return found
    others: tuple[Literal["reuse", "keep"], ...] = ("reuse", "keep")
    for between in others:
        stack = evolve(found.stack, between=between)
        if not trial.refuses({seen.path: stack}, expected):
            return Guess(stack)
    return Guess(None, reason)


class _Trial:
    """The model and the arguments to try it with, each time from the same state."""

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], memory: Memory) -> None:
        self._model, self._args, self._kwargs, self._memory = model, args, kwargs, memory

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return fresh copies of the arguments, which the model may write into, with the model as it was at first."""
        self._memory.restore()
        args, kwargs = copied([self._args, self._kwargs])  # together: a tensor may be in both
        return args, kwargs

    @outermost
    def call(self) -> list[torch.Tensor]:
        args, kwargs = self.arguments()
        with torch.no_grad():
            output = self._model(*args, **kwargs)
            found = [tensor.clone() for tensor in tensors(output)]
        if not found:
            raise UnsupportedModel(
                f"{base_class(self._model).__name__}: there is no tensor in its output ({_told(output)}), so no reuse "
                "can be checked; let forward return tensors, alone or in a list, a dict, a dataclass or attributes; "
                f"{_GIVE}"
            )
        return found

    def size(self, path: str) -> int:
        """Return how many parameters a list has."""
        return sum(parameter.numel() for parameter in self._model.get_submodule(path).parameters())

    def refuses(
        self, stacks: Mapping[str, StackAdapter], expected: list[torch.Tensor], compute: Compute | None = None
    ) -> str:
        """Return why these lists cannot be reused as they are declared, "" if they can, on every rank."""
        if not stacks:
            return "there are none"
        reason = self._refuses(stacks, expected, compute)
        refused = any_rank(bool(reason), expected[0].device)
        return reason or ("another rank refuses" if refused else "")

    def _refuses(
        self, stacks: Mapping[str, StackAdapter], expected: list[torch.Tensor], compute: Compute | None
    ) -> str:
        name = base_class(self._model).__name__
        adapter = Adapter("learnt", {name: TransformerAdapter("fused", dict(stacks))})
        fewest = min(len(self._model.get_submodule(path)) for path in stacks)  # type: ignore[arg-type]
        compute = compute or (Compute(1, 1) if fewest > 2 else Compute(1, 0))
        try:
            exact = Policy(compute=compute, reuse=Reuse(0.0), cfg=Cfg("fused"))
            with exact.apply(self._model, adapter=adapter) as cached, cached.run(steps=1):
                if not _same(self.call(), expected):
                    return "with nothing reused, the output is another one"
            static = Policy(compute=compute, warmup=Warmup(1), reuse=Reuse("always"), cfg=Cfg("fused"))
            with static.apply(self._model, adapter=adapter) as cached, cached.run(steps=2):
                self.call()
                again = self.call()
                reused = {s.stack.partition("#")[0] for s in cached.trace.steps() if s.outcome == "reused"}
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if reused != set(stacks):
            return "nothing of it was reused"
        return "" if _close(again, expected) else "reused with the same input, the output is another one"


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[Memory]:
    """Keep the random number generators, and what the model remembers, as they are."""
    devices = {p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"}
    memory = Memory(model)
    with torch.random.fork_rng(devices=sorted(devices)):
        try:
            yield memory
        finally:
            memory.restore()


def _told(output: Any) -> str:
    parts = f" of {', '.join(type(part).__name__ for part in output)}" if isinstance(output, (list, tuple)) else ""
    return f"a {type(output).__name__}{parts}"


def _finite(output: list[torch.Tensor]) -> bool:
    """Tell whether there is a number to compare; a NaN here and there is compared as one."""
    floats = [
        tensor for tensor in output if tensor.is_floating_point() and tensor.numel() and tensor.element_size() > 1
    ]
    return not floats or any(bool(tensor.isfinite().any()) for tensor in floats)


def _same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(_equal(a, b) for a, b in zip(left, right, strict=True))


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return torch.equal(left, right) or bool(((left == right) | ((left != left) & (right != right))).all())


def _close(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    if len(left) != len(right):
        return False
    return all(_near(a, b) for a, b in zip(left, right, strict=True))


def _near(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.shape != right.shape:
        return False
    if not right.is_floating_point() or right.numel() == 0:
        return torch.equal(left, right)
    finite = right.isfinite()
    if not finite.all():
        return _equal(left[~finite], right[~finite]) and _near(left[finite], right[finite])
    tolerance = max(TOLERANCE, 4 * torch.finfo(right.dtype).eps)
    return bool((left - right).abs().max() <= tolerance * (right.abs().max() + 1e-3))


def learnable(component: str, module: nn.Module) -> bool:
    """Tell whether a pipeline's component looks like a denoiser, by the lists that it has and where it comes from."""
    foreign = type(module).__module__.startswith("transformers.") or any(part in component for part in _NO_DENOISER)
    return not foreign and any(is_block_list(m) for m in module.modules())


_NO_DENOISER = (
    "vae",
    "encoder",
    "controlnet",
    "unet",
    "safety",
    "feature",
    "vocoder",
    "connector",
    "upsampler",
    "adapter",
)
"""What is in the name of components that are none; a UNet's lists are of levels, whose shapes differ."""
