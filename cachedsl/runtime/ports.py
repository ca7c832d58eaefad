"""One port for each block: it reads the streams out of a call's arguments, and writes them in the block's own form."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from attrs import define, evolve, field, frozen

from cachedsl.matching.adapter import ModulatedInput, StackAdapter
from cachedsl.matching.patterns import PATTERNS, Pattern, Stream
from cachedsl.plan.model_shape import Joins
from cachedsl.runtime.errors import PatternMismatch
from cachedsl.runtime.traits import Form, LoopTraits, Traits

Streams = dict[Stream, torch.Tensor | None]
Parts = tuple[torch.Tensor | None, ...]
"""Streams in the order of the pattern's inputs, or of its outputs."""


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


@frozen
class Declared:
    """What the adapter says of one list; `label` is the list's name, for messages."""

    pattern: Pattern
    names: Mapping[Stream, str]
    label: str
    modulated: ModulatedInput | None = None
    between: Literal["apply", "reuse", "keep"] = "apply"
    joins: Joins = "as_is"


@define(eq=False)
class Modulation:
    """How a block's modulated input is had: an argument of the block, or what a module makes of some.

    Attributes:
        module: None for the argument itself.
        arguments: of the module, each with the name and position of the block's own.
        output: which of the module's outputs, where there are several.
    """

    module: Any
    arguments: tuple[tuple[str, str, int], ...]
    output: int | None

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        given: dict[str, Any] = {}
        for to, name, place in self.arguments:
            given[to] = kwargs[name] if name in kwargs else args[place] if place < len(args) else None
        if self.module is None:
            return given[""]
        value: Any = self.module(**given)
        return value if self.output is None else value[self.output]


@define(eq=False)
class Port:
    """The I/O of one block, as the adapter declares it, checked against what comes.

    Attributes:
        declared: what the adapter says of its list.
        index: its place in the list.
        loop: what was learned of the loop around the list; shared by its blocks.
        traits: what was learned of the block.
    """

    declared: Declared
    index: int
    loop: LoopTraits
    traits: Traits = field(default=Traits())

    @property
    def applies_between(self) -> bool:
        """Whether what the loop does before this block happens on reused steps too."""
        return self.declared.between == "apply"

    @property
    def keeps(self) -> bool:
        """Whether this block returns on reused steps what it did, not what it takes."""
        return self.declared.between == "keep"

    def read(self, block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Streams:
        """Return the input streams of a call, `(batch, tokens, channels)` each, None where the caller passes none.

        Raises:
            PatternMismatch: the block takes no such argument, or `hidden` is no tensor.
        """
        streams: Streams = {}
        for stream in self.declared.pattern.inputs:
            name = self.declared.names[stream]
            if name in kwargs:
                value = kwargs[name]
            else:
                place = _places(block).get(name)
                if place is None:
                    raise self._mismatch(block, f"takes `{name}`", "its forward has no argument of that name")
                value = args[place] if place < len(args) else None
            if stream == "hidden" and not isinstance(value, torch.Tensor):
                raise self._mismatch(block, f"takes a tensor `{name}`", f"a call with {_describe(value)}")
            streams[stream] = value if isinstance(value, torch.Tensor) else None
        return streams

    def arguments(self, block: Any) -> tuple[tuple[str, int], ...]:
        """Return name and position of the argument that carries each input stream, in the pattern's order."""
        places, names = _places(block), (self.declared.names[stream] for stream in self.declared.pattern.inputs)
        return tuple((name, places.get(name, _NOWHERE)) for name in names)

    def modulated_input(self, block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
        """Evaluate the block's modulated input as the adapter says, from the arguments of its call.

        Raises:
            PatternMismatch: the block has no such module, argument or output.
        """
        spec = self.declared.modulated
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
            raise self._mismatch(block, "has a `modulated_input`", f"{type(error).__name__}: {error}") from error
        if not isinstance(value, torch.Tensor):
            raise self._mismatch(block, "has a tensor for `modulated_input`", _describe(value))
        return value

    def modulation(self, block: Any) -> Modulation:
        """Return how the modulated input is had, in constants for a graph, once `modulated_input` has gone well."""
        spec, places = self.declared.modulated, _places(block)
        assert spec is not None, "checked when the policy was applied"
        names = {"": spec.argument} if spec.argument is not None else spec.arguments
        arguments = tuple((to, name, places.get(name, _NOWHERE)) for to, name in names.items())
        module = None if spec.argument is not None else _unwrapped(block).get_submodule(spec.module)
        return Modulation(module, arguments, spec.output)

    def _argument(self, name: str, block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if name in kwargs:
            return kwargs[name]
        place = _places(block).get(name)
        if place is None:
            raise KeyError(f"its forward has no argument `{name}`")
        return args[place] if place < len(args) else None

    def check_order(self, block: Any, streams: Streams, before: Streams) -> None:
        """Refuse a pattern whose streams arrive crosswise: the block before returned them, `before`, the other way.

        Raises:
            PatternMismatch: they do.
        """
        hidden, encoder = before.get("hidden"), before.get("encoder")
        taken = streams.get("hidden")
        if taken is not None and encoder is not None and taken is encoder and taken is not hidden:
            declared = f"returns ({', '.join(self.declared.pattern.outputs)})"
            raise self._mismatch(block, declared, "the streams in the other order", self.index - 1)

    def unwrap(self, block: Any, output: Any) -> Streams:
        """Split a block's output into streams, learn its form, and check both against the pattern.

        Raises:
            PatternMismatch: it is not what the pattern says.
        """
        names = self.declared.pattern.outputs
        declared = "returns a tensor" if len(names) == 1 else f"returns ({', '.join(names)})"
        if isinstance(output, torch.Tensor):
            parts: Parts = (output,)
        elif isinstance(output, (tuple, list)):
            parts = tuple(output)
        else:
            raise self._mismatch(block, declared, _describe(output))
        if len(parts) != len(names) or not all(p is None or isinstance(p, torch.Tensor) for p in parts):
            raise self._mismatch(block, declared, _describe(output))
        streams: Streams = dict(zip(names, parts, strict=True))
        if streams["hidden"] is None:
            raise self._mismatch(block, declared, _describe(output))
        form = Form(not isinstance(output, torch.Tensor), tuple(None if p is None else p.dtype for p in parts))
        if form != self.traits.form:
            self._learn(evolve(self.traits, form=form))
        return streams

    def wrap(self, streams: Streams) -> Any:
        """Return `streams` as the block itself would: in its form, and each in the dtype that it had."""
        form = self.traits.form
        assert form is not None, "only a block that has run is stood in for"
        names = self.declared.pattern.outputs
        parts = tuple(_cast(streams.get(name), dtype) for name, dtype in zip(names, form.dtypes, strict=True))
        return parts if form.is_tuple else parts[0]

    def note_writes(self, found: bool) -> None:
        """Learn whether blocks write into what enters the unit that begins here."""
        self._learn(evolve(self.traits, writes=found))

    def _learn(self, traits: Traits) -> None:
        if traits != self.traits:
            self.traits = traits
            self.loop.learned += 1

    def _mismatch(self, block: Any, declared: str, came: str, index: int | None = None) -> PatternMismatch:
        place = self.index if index is None else index
        return PatternMismatch(
            f"{self.declared.label}[{place}] ({block.__class__.__name__}): the adapter declares pattern "
            f"{self.declared.pattern.name}, which {declared}, but what came is {came}; correct the pattern in the "
            "adapter"
        )


Ports = Sequence[Port]
"""Those of one list, or of several that form one chain, in order."""

_NOWHERE = 1 << 30
"""The position of an argument that a block takes by name alone."""


def list_ports(stack: StackAdapter, label: str, count: int) -> tuple[Port, ...]:
    """Return the ports of a list of `count` blocks, of which nothing is learned yet."""
    declared = Declared(PATTERNS[stack.pattern], stack.names, label, stack.modulated_input, stack.between, stack.joins)
    loop = LoopTraits()
    return tuple(Port(declared, index, loop) for index in range(count))


def chain_label(ports: Ports) -> str:
    """Return what messages call the list, or the chain of lists."""
    labels = list(dict.fromkeys(port.declared.label for port in ports))
    return "+".join([labels[0], *(label.rpartition(".")[2] for label in labels[1:])])


def loop_writes(ports: Ports) -> bool | None:
    """Tell whether the loop writes into what blocks return, in any list of the chain."""
    return True if any(port.loop.writes for port in ports) else ports[0].loop.writes


def note_loop_writes(ports: Ports, found: bool | None) -> None:
    """Learn it, or forget it, for every list of the chain."""
    for port in ports:
        port.loop.writes = found


def concatenated(joins: Joins, hidden: torch.Tensor | None, encoder: torch.Tensor | None) -> torch.Tensor | None:
    """Return the hidden states that a list is given which follows another one: both streams, `(batch, tokens, …)`."""
    if hidden is None or encoder is None:
        return hidden
    return torch.cat([encoder, hidden] if joins == "encoder_first" else [hidden, encoder], dim=1)


def _cast(stream: torch.Tensor | None, dtype: torch.dtype | None) -> torch.Tensor | None:
    """Return a stream in `dtype`; None where the block returned none."""
    return None if stream is None or dtype is None else stream.to(dtype)


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)} ({', '.join(_describe(v) for v in value)})"
    return "None" if value is None else f"a {type(value).__name__}"
