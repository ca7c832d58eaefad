"""Tell from what was seen which pattern the blocks of a list have and which arguments carry their streams."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from attrs import frozen

from cachedsl.infer.seen import SeenCall, SeenList
from cachedsl.matching.adapter import InputAdapter, StackAdapter

_HIDDEN = re.compile(r"^(hidden_states?|x|h|hidden)$|img|image|latent|sample|video|vis")
_ENCODER = re.compile(r"encoder|context|ctx|txt|text|prompt|caption|cond|audio|^(y|c|e)$")
_TOKENS = 3
"""Dimensions of a tensor of tokens: batch, tokens, channels."""


@frozen
class Guess:
    """What a list's blocks seem to be: `stack`, or None and `reason` says why they are none that can be reused."""

    stack: StackAdapter | None
    reason: str = ""


def guess(seen: SeenList) -> Guess:
    """Guess the pattern of a list's blocks.

    An argument that was the very tensor that the block before returned carries that output; else shape and name decide.
    """
    if not seen.calls:
        return Guess(None, "its blocks were not called")
    indices = [call.index for call in seen.calls]
    if len(set(indices)) < 2:
        return Guess(None, "only one of its blocks was called")
    lengths = {len(call.output) for call in seen.calls}
    others = {part for call in seen.calls for part in call.output if isinstance(part, str)}
    if others:
        return Guess(None, f"its blocks return a {', a '.join(sorted(others))} beside or in place of tensors")
    if lengths == {1}:
        return _one_stream(seen)
    if lengths == {2}:
        return _two_streams(seen)
    return Guess(None, f"its blocks return {' or '.join(map(str, sorted(lengths)))} tensors")


def guess_input(given: Mapping[str, Any]) -> InputAdapter:
    """Guess which argument of the model's call is its latent: by name, then by order; tokens are no grid.

    Args:
        given: the arguments by name, in the order of the signature.
    """
    tensors = {name: v for name, v in given.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    fitting = [name for name, tensor in tensors.items() if tensor.ndim > 1]
    usual = InputAdapter().latent
    latent = min(fitting, key=lambda name: (name != usual, not _HIDDEN.search(name)), default=None)
    if latent is None or tensors[latent].ndim <= _TOKENS:
        return InputAdapter(latent or usual, axes=())
    return InputAdapter(latent)


def _one_stream(seen: SeenList) -> Guess:
    hidden = _carrier(seen.calls, 0, ())
    if hidden is None:
        return Guess(None, _nowhere(seen.calls[0], 0))
    encoder = _context(seen.calls[0], hidden)
    if encoder is None:
        return Guess(StackAdapter("hidden_only", hidden=hidden))
    return Guess(StackAdapter("hidden_with_context", hidden=hidden, encoder=encoder))


def _two_streams(seen: SeenList) -> Guess:
    linked = [_linked(seen.calls, place) for place in (0, 1)]
    first = linked[0] or _carrier(seen.calls, 0, [name for name in linked if name])
    second = linked[1] or _carrier(seen.calls, 1, [name for name in (first,) if name])
    if first is not None and second is not None:
        swapped = _is_encoder(seen.calls[0], first, second)
        hidden, encoder = (second, first) if swapped else (first, second)
        name = "hidden_encoder_swapped" if swapped else "hidden_encoder"
        return Guess(StackAdapter(name, hidden=hidden, encoder=encoder))
    if first is None and second is None:
        return Guess(None, _nowhere(seen.calls[0], 0))
    name = "hidden_makes_encoder" if second is None else "hidden_makes_encoder_swapped"
    return Guess(StackAdapter(name, hidden=first or second or ""))


def _linked(calls: Iterable[SeenCall], place: int) -> str | None:
    """Return the argument that most often was output `place` of the block before."""
    found = Counter(name for call in calls for name, tensor in call.tensors.items() if tensor.link == place)
    return found.most_common(1)[0][0] if found else None


def _carrier(calls: list[SeenCall], place: int, taken: Iterable[str]) -> str | None:
    """Return the argument that carries output `place`: by identity, else one of its shape, by name, then by order."""
    linked = _linked(calls, place)
    if linked is not None:
        return linked
    call = next((call for call in calls if call.output[place] is not None), calls[0])
    fitting = [
        name
        for name, tensor in call.tensors.items()
        if tensor.floating and tensor.shape == call.output[place] and len(tensor.shape) > 1 and name not in taken
    ]
    return min(fitting, key=lambda name: (not _HIDDEN.search(name), fitting.index(name)), default=None)


def _is_encoder(call: SeenCall, first: str, second: str) -> bool:
    """Tell whether the stream that a block returns first is the encoder's: by name, else by the order of arguments."""
    scores = [bool(_ENCODER.search(name)) - bool(_HIDDEN.search(name)) for name in (first, second)]
    scores = [1 if name.startswith("encoder") else score for name, score in zip((first, second), scores, strict=True)]
    if scores[0] != scores[1]:
        return scores[0] > scores[1]
    order = list(call.tensors)
    return order.index(second) < order.index(first) if {first, second} <= set(order) else False


def _context(call: SeenCall, hidden: str) -> str | None:
    """Return the argument by which a block reads the encoder's tokens, if it does."""
    tokens = [name for name, t in call.tensors.items() if name != hidden and t.floating and len(t.shape) == _TOKENS]
    return next((name for name in tokens if _ENCODER.search(name)), None)


def _nowhere(call: SeenCall, place: int) -> str:
    taken = ", ".join(f"{name} {tensor.shape}" for name, tensor in call.tensors.items()) or "no tensors"
    return f"its blocks return a tensor of shape {call.output[place]}, but take none like it ({taken})"
