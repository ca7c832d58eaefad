"""Read the streams out of a block's arguments, and write them in the block's own output form."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from attrs import define, field, frozen

from cachedsl.matching.adapter import ModulatedInput
from cachedsl.matching.patterns import Pattern, Stream
from cachedsl.runtime.errors import PatternMismatch

Streams = dict[Stream, torch.Tensor | None]


@frozen
class Form:
    """How one block returned its streams: a bare tensor, or a tuple in which some places may be None."""

    is_tuple: bool
    dtypes: Mapping[Stream, torch.dtype | None]


@lru_cache(maxsize=512)
def _positions(block_class: type) -> Mapping[str, int]:
    """Return the position of every named parameter of `forward`, without `self`."""
    forward: Any = block_class.forward  # type: ignore[attr-defined]
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return {name: place for place, name in enumerate(named)}


_WRAPPED = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "module")
"""Where torch.compile, checkpointing, FSDP and others keep the module that they hand all arguments on to."""


def _unwrapped(block: Any) -> Any:
    """Return the block in its wrappers: the first module whose `forward` names arguments; `block` if there is none."""
    inside = block
    while not _positions(inside.__class__):
        held = (inside._modules.get(name) for name in _WRAPPED)
        inside = next((module for module in held if module is not None), None)
        if inside is None:
            return block
    return inside


def _places(block: Any) -> Mapping[str, int]:
    """Return the position of every argument of a block, by name."""
    return _positions(block.__class__) or _positions(_unwrapped(block).__class__)


@define(eq=False)
class BlockIO:
    """The I/O of the blocks of one list, as the adapter declares it, checked against what comes.

    Attributes:
        pattern: which streams go in and out.
        names: the argument that carries each stream.
        label: the list's name, for messages.
        between: what becomes of what the loop does between blocks; see `StackAdapter`.
        forms: the output form of every block seen so far, by index.
        writes: whether blocks write into what enters a unit, by the index of the unit's first block, as seen.
        in_place: whether the loop writes into what blocks return; None until a computed unit of the run has shown it.
    """

    pattern: Pattern
    names: Mapping[Stream, str]
    label: str
    modulated: ModulatedInput | None = None
    between: Literal["apply", "reuse", "keep"] = "apply"
    forms: dict[int, Form] = field(factory=dict)
    writes: dict[int, bool] = field(factory=dict)
    in_place: bool | None = None
    _outputs: Streams = field(factory=dict)

    def applies_between(self, index: int) -> bool:
        """Tell whether what the loop does before block `index` happens on reused steps too."""
        return self.between == "apply"

    def keeps(self, index: int) -> bool:
        """Tell whether block `index` returns on reused steps what it did, not what it takes."""
        return self.between == "keep"

    def read(self, index: int, block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Streams:
        """Return the input streams of a call, `(batch, tokens, channels)` each, None where the caller passes none."""
        streams: Streams = {}
        for stream in self.pattern.inputs:
            name = self.names[stream]
            if name in kwargs:
                value = kwargs[name]
            else:
                place = _places(block).get(name)
                if place is None:
                    raise self._mismatch(index, block, f"takes `{name}`", "its forward has no argument of that name")
                value = args[place] if place < len(args) else None
            if stream == "hidden" and not isinstance(value, torch.Tensor):
                raise self._mismatch(index, block, f"takes a tensor `{name}`", f"a call with {_describe(value)}")
            streams[stream] = value if isinstance(value, torch.Tensor) else None
        return streams

    def modulated_input(self, index: int, block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
        """Evaluate the block's modulated input as the adapter says, from the arguments of its call."""
        spec = self.modulated
        assert spec is not None, "checked when the policy was applied"
        try:
            if spec.argument is not None:
                value = self._argument(spec.argument, block, args, kwargs)
            else:
                module = _unwrapped(block).get_submodule(spec.module)
                given = {name: self._argument(source, block, args, kwargs) for name, source in spec.arguments.items()}
                value = module(**given)
                value = value if spec.output is None else value[spec.output]
        except (AttributeError, TypeError, IndexError, KeyError) as error:
            raise self._mismatch(index, block, "has a `modulated_input`", f"{type(error).__name__}: {error}") from error
        if not isinstance(value, torch.Tensor):
            raise self._mismatch(index, block, "has a tensor for `modulated_input`", _describe(value))
        return value

    def _argument(self, name: str, block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if name in kwargs:
            return kwargs[name]
        place = _places(block).get(name)
        if place is None:
            raise KeyError(f"its forward has no argument `{name}`")
        return args[place] if place < len(args) else None

    def check_chain(self, index: int, block: Any, streams: Streams) -> None:
        """Refuse a pattern whose streams arrive crosswise: the block before returned them in the other order."""
        hidden, encoder = self._outputs.get("hidden"), self._outputs.get("encoder")
        taken = streams.get("hidden")
        if taken is not None and encoder is not None and taken is encoder and taken is not hidden:
            declared = f"returns ({', '.join(self.pattern.outputs)})"
            raise self._mismatch(index - 1, block, declared, "the streams in the other order")

    def unwrap(self, index: int, block: Any, output: Any) -> Streams:
        """Split a block's output into streams, remember its form, and check both against the pattern."""
        names = self.pattern.outputs
        declared = "returns a tensor" if len(names) == 1 else f"returns ({', '.join(names)})"
        if isinstance(output, torch.Tensor):
            parts: tuple[Any, ...] = (output,)
        elif isinstance(output, (tuple, list)):
            parts = tuple(output)
        else:
            raise self._mismatch(index, block, declared, _describe(output))
        if len(parts) != len(names) or not all(p is None or isinstance(p, torch.Tensor) for p in parts):
            raise self._mismatch(index, block, declared, _describe(output))
        streams: Streams = dict(zip(names, parts, strict=True))
        if streams["hidden"] is None:
            raise self._mismatch(index, block, declared, _describe(output))
        dtypes = {name: None if part is None else part.dtype for name, part in streams.items()}
        self.forms[index] = Form(not isinstance(output, torch.Tensor), dtypes)
        self._outputs = streams
        return streams

    def knows(self, index: int) -> bool:
        """Tell whether block `index` has run, so that its output form is known."""
        return index in self.forms

    def wrap(self, index: int, streams: Streams) -> Any:
        """Return `streams` as block `index` itself would: in its form, and each in the dtype that it had."""
        form = self.forms[index]
        parts = tuple(_cast(streams.get(name), form.dtypes[name]) for name in self.pattern.outputs)
        return parts if form.is_tuple else parts[0]

    def writes_from(self, index: int) -> bool | None:
        """Tell whether the unit that begins with block `index` writes into what enters it; None where none was seen."""
        return self.writes.get(index)

    def note_writes(self, index: int, found: bool) -> None:
        self.writes[index] = found

    def forget_outputs(self) -> None:
        """Let go of the last block's output, at the end of a forward."""
        self._outputs = {}

    def _mismatch(self, index: int, block: Any, declared: str, came: str) -> PatternMismatch:
        return PatternMismatch(
            f"{self.label}[{index}] ({block.__class__.__name__}): the adapter declares pattern {self.pattern.name}, "
            f"which {declared}, but what came is {came}; correct the pattern in the adapter"
        )


class ChainIO:
    """The I/O of several lists that form one chain: a block's index counts over all of them."""

    def __init__(self, parts: Sequence[tuple[int, BlockIO]]) -> None:
        self._parts = [io for count, io in parts for _ in range(count)]
        self._starts = [
            sum(count for count, _ in parts[:i]) for i, (count, _) in enumerate(parts) for _ in range(count)
        ]
        self.label = "+".join([parts[0][1].label, *(io.label.rpartition(".")[2] for _, io in parts[1:])])

    def applies_between(self, index: int) -> bool:
        return self._parts[index].applies_between(self._local(index))

    def keeps(self, index: int) -> bool:
        return self._parts[index].keeps(self._local(index))

    def read(self, index: int, block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Streams:
        return self._parts[index].read(self._local(index), block, args, kwargs)

    def modulated_input(self, index: int, block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
        return self._parts[index].modulated_input(self._local(index), block, args, kwargs)

    def check_chain(self, index: int, block: Any, streams: Streams) -> None:
        self._parts[index].check_chain(self._local(index), block, streams)

    def unwrap(self, index: int, block: Any, output: Any) -> Streams:
        return self._parts[index].unwrap(self._local(index), block, output)

    def knows(self, index: int) -> bool:
        return self._parts[index].knows(self._local(index))

    def wrap(self, index: int, streams: Streams) -> Any:
        return self._parts[index].wrap(self._local(index), streams)

    def writes_from(self, index: int) -> bool | None:
        return self._parts[index].writes_from(self._local(index))

    def note_writes(self, index: int, found: bool) -> None:
        self._parts[index].note_writes(self._local(index), found)

    @property
    def in_place(self) -> bool | None:
        return True if any(io.in_place for io in self._parts) else self._parts[0].in_place

    @in_place.setter
    def in_place(self, found: bool | None) -> None:
        for io in self._parts:
            io.in_place = found

    def forget_outputs(self) -> None:
        for io in dict.fromkeys(self._parts):
            io.forget_outputs()

    def _local(self, index: int) -> int:
        return index - self._starts[index]


def _cast(stream: torch.Tensor | None, dtype: torch.dtype | None) -> torch.Tensor | None:
    """Return a stream in `dtype`; None where the block returned none."""
    return None if stream is None or dtype is None else stream.to(dtype)


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)} ({', '.join(_describe(v) for v in value)})"
    return "None" if value is None else f"a {type(value).__name__}"
