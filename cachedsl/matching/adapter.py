"""What an adapter is: per transformer class its block lists, how their blocks are called, and how guidance runs.

An adapter is data, declared key by key as a policy is, and checked where it is made: its block lists in order of
execution, the pattern of their blocks, and how its pipelines run classifier-free guidance. Declared facts are verified
at run time against the actual tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

import attrs
from attrs import NOTHING, frozen

from cachedsl.language.kinds import Flag, ListOf, Text, Whole
from cachedsl.language.part import Part, key, keys_of, part_of
from cachedsl.language.refusals import refused
from cachedsl.matching.errors import AdapterError, UnsupportedModel, without_place
from cachedsl.matching.kinds import ARGUMENT, LAYER, LAYERS, LIST, MODULE, Choice, Count, MapOf, named
from cachedsl.matching.patterns import PATTERNS, Stream
from cachedsl.matching.writing import to_yaml
from cachedsl.plan.frozen import Frozen
from cachedsl.plan.model_shape import Joins, ModelShape, StackShape
from cachedsl.rules.adapter.modulated_input import one_way

__all__ = (
    "Adapter",
    "AdapterError",
    "InputAdapter",
    "ModulatedInput",
    "StackAdapter",
    "TensorAdapter",
    "TransformerAdapter",
    "UnsupportedModel",
    "stack_shape",
)


@frozen
class ModulatedInput:
    """How a block's modulated input is had from the arguments of its call, for the signal of that name."""

    PART: ClassVar[Part] = Part(
        "ModulatedInput",
        lambda: _listed(ModulatedInput),
        "How a block's modulated input is had from the arguments of its call, for the signal of that name: `module` "
        "and `arguments`, or `argument` alone.",
        error=without_place,
    )
    module: str = key("", MODULE, "The path of the norm that modulates, in the block. It is called.")
    arguments: Mapping[str, str] = key(
        Frozen(),
        MapOf("a mapping of the norm's arguments to the block's", ARGUMENT, ARGUMENT),
        "The norm's arguments, each with the argument of the block that is passed as it.",
    )
    output: int | None = key(
        None, Whole("an index of at least 0"), "Which of the norm's outputs it is, where there are several."
    )
    argument: str | None = key(
        None, ARGUMENT, "The argument of the block that stands for the modulated input, such as the embedded timestep."
    )

    def __attrs_post_init__(self) -> None:
        wrong = one_way([one.name for one in keys_of(type(self)).values() if getattr(self, one.name) != one.default])
        if wrong is not None:
            raise refused(type(self).__name__, self.PART.key, wrong, self.PART.error) from wrong


@frozen
class InputAdapter:
    """Which argument of the transformer's forward is the noisy latent, and where its tokens belong."""

    PART: ClassVar[Part] = Part(
        "InputAdapter",
        lambda: _listed(InputAdapter),
        "Which argument of the transformer's forward is the noisy latent, and where its tokens belong; for signals "
        "that go by it.",
        error=without_place,
    )
    latent: str = key("hidden_states", ARGUMENT, "The argument that is the noisy latent.")
    positions: str | None = key(
        None, ARGUMENT, "An argument `(tokens, 2 or more)`, of which the last two columns are row and column."
    )
    axes: tuple[int, ...] | None = key(
        None,
        ListOf("a list of axes, each at least 1 and once", Whole("an axis from 1 to 9", least=1, most=9), unique=True),
        "Which axes of the latent are places, where they are not all axes after the first two. An empty list says that "
        "none is: the latent is a row of tokens, and no argument has their positions.",
    )

    @property
    def places(self) -> bool:
        """Whether it says where in the picture each part of the latent belongs."""
        return self.axes != () or self.positions is not None


@frozen
class StackAdapter:
    """One block list: which streams its blocks take and return, and by which arguments.

    docs/models.md has the meaning of each value.

    Attributes:
        pattern: which streams a block takes and returns, such as `"hidden_encoder"`.
        hidden: the block's argument that carries the hidden states, `(batch, tokens, channels)`.
        encoder: the block's argument that carries the encoder's hidden states, of the same kind.
        between: what happens to what the model's loop does between two blocks.
        joins: what its hidden states are made of where it follows another list under `span: joined`.
        long_skips: whether the last blocks read again what the first ones return.
        modulated_input: how the first block's modulated input is evaluated.
        blocks: how many blocks there are, for `explain` without a model.

    Raises:
        AdapterError: a value is not what its key may hold.
    """

    PART: ClassVar[Part] = Part(
        "StackAdapter",
        lambda: _listed(StackAdapter),
        "One block list: the pattern of its blocks, and the arguments that carry the streams where they differ.",
        error=without_place,
    )
    pattern: str = key(
        NOTHING,
        Choice(choices=tuple(PATTERNS)),
        "Which streams a block takes and returns. `hidden_encoder` takes both and returns `(hidden, encoder)`. "
        "`hidden_encoder_swapped` returns `(encoder, hidden)`. `hidden_with_context` reads the encoder's stream and "
        "returns the hidden one. `hidden_only` has one stream. `hidden_makes_encoder` and "
        "`hidden_makes_encoder_swapped` take the hidden one and return both.",
    )
    hidden: str = key("hidden_states", ARGUMENT, "The block's argument that carries the hidden states.")
    encoder: str = key(
        "encoder_hidden_states", ARGUMENT, "The block's argument that carries the encoder's hidden states."
    )
    between: Literal["apply", "reuse", "keep"] = key(
        "apply",
        Choice(choices=("apply", "reuse", "keep")),
        "What happens to what the model's loop itself does between two blocks. `apply`: it comes from elsewhere, such "
        "as a ControlNet's residuals, and happens on reused steps too. `reuse`: it reads the hidden states, so it is "
        "reused with the blocks. `keep`: the loop also hands on what blocks return, to other lists or into a state of "
        "its own. Every block of a reused middle then returns what it returned before, which holds one more tensor for "
        "each block and stream.",
    )
    joins: Joins = key(
        "as_is",
        Choice(choices=get_args(Joins)),
        "What its hidden states are made of where it follows another list under `span: joined`. `as_is`: of the hidden "
        "states that the list before returns. `encoder_first` and `hidden_first`: of both streams of the list before, "
        "concatenated along the tokens in this order. `apart`: of anything else, so that the lists cannot join.",
    )
    long_skips: bool = key(
        False,
        Flag(),
        "Whether the last blocks read again what the first ones return. No more blocks may then run behind a reused "
        "middle than before it.",
    )
    modulated_input: ModulatedInput | None = key(None, part_of(ModulatedInput), ModulatedInput.PART.words)
    blocks: int | None = key(
        None,
        Count(),
        "How many blocks the class's default configuration has, or a published one where no model has the default. It "
        "is for `explain` and golden plans. A policy that is applied counts the model's own blocks.",
    )

    @property
    def names(self) -> Mapping[Stream, str]:
        """The block's argument for each stream."""
        return {"hidden": self.hidden, "encoder": self.encoder}

    @property
    def modulated(self) -> bool:
        """Whether it says how the modulated input is had."""
        return self.modulated_input is not None

    @property
    def keeps(self) -> bool:
        """Whether every block of a reused middle returns what it did."""
        return self.between == "keep"


@frozen
class TensorAdapter:
    """Which layers are split how over processes that share the weights, where diffusers does not say."""

    PART: ClassVar[Part] = Part(
        "TensorAdapter",
        lambda: _listed(TensorAdapter),
        "How layers are split over processes that share the weights, where diffusers does not say. Layers are named by "
        "path, with `*` for each block of a list.",
        error=without_place,
    )
    colwise: tuple[str, ...] = key((), LAYERS, "Linear layers of which each process has a part of the outputs.")
    rowwise: tuple[str, ...] = key((), LAYERS, "Linear layers of which each process has a part of the inputs.")
    joined: Mapping[str, tuple[str, ...]] = key(
        Frozen(),
        MapOf("a mapping of layers to the layers whose outputs they take", LAYER, LAYERS),
        "The layers of `rowwise` that take the outputs of several layers, one behind another, with these layers. All "
        "are named within the block.",
    )
    heads: tuple[str, ...] = key((), LAYERS, "Modules that count attention heads in `heads`.")
    norms: tuple[str, ...] = key((), LAYERS, "RMS norms over the channels of all heads together.")


_INPUT = InputAdapter()


@frozen
class TransformerAdapter:
    """One transformer class: its block lists, and how its pipelines run guidance.

    Attributes:
        cfg: `"fused"` for one call for all branches of guidance, `"separate"` for one call each.
        stacks: the block lists by attribute path, in order of execution.
        pipelines: names of the pipeline classes that have it.
        input: which argument of the forward is the noisy latent.
        tensor: how layers are split over processes that share the weights.

    Raises:
        AdapterError: a value is not what its key may hold.
    """

    PART: ClassVar[Part] = Part(
        "TransformerAdapter", lambda: _listed(TransformerAdapter), "One transformer class.", error=without_place
    )
    cfg: Literal["fused", "separate"] = key(
        NOTHING,
        Choice(choices=("fused", "separate")),
        "What its pipelines do with guidance: `fused` is one call for all branches, `separate` is one call for each.",
    )
    stacks: Mapping[str, StackAdapter] = key(
        NOTHING,
        MapOf(
            "a mapping of block lists",
            LIST,
            part_of(StackAdapter),
            1,
            "name the model's, or give no adapter, and they are learned at its first call",
        ),
        "Its block lists by attribute path, in execution order.",
    )
    pipelines: tuple[str, ...] = key(
        (),
        ListOf("a list of pipeline classes' names", named("the name of a pipeline class")),
        "The pipeline classes that have it.",
    )
    input: InputAdapter = key(_INPUT, part_of(InputAdapter), InputAdapter.PART.words, shown="")
    tensor: TensorAdapter | None = key(None, part_of(TensorAdapter), TensorAdapter.PART.words)


@frozen
class Adapter:
    """One family of models: what a policy must know of each of its transformer classes.

    Give one to `Policy.apply(model, adapter=...)`. `cachedsl.load_adapter` reads one from YAML.

    Attributes:
        family: what the models are called together.
        transformers: the transformer classes by name.
        verified: the version of diffusers on which the classes were tested.
        models: published models with their block counts, for `explain` without a model.

    Raises:
        AdapterError: a value is not what its key may hold.

    Example:
        >>> from cachedsl import Adapter, StackAdapter, TransformerAdapter
        >>> blocks = StackAdapter("hidden_only", hidden="x", blocks=28)
        >>> adapter = Adapter("mine", {"MyModel": TransformerAdapter("fused", {"blocks": blocks})})
        >>> adapter.shape().stacks[0].blocks
        28
    """

    PART: ClassVar[Part] = Part(
        "Adapter",
        lambda: _listed(Adapter),
        "A cachedsl adapter: which block lists a transformer class has, and how its blocks take and return their "
        "streams. docs/adapters.md lists the bundled ones.",
        error=without_place,
    )
    family: str = key(NOTHING, named("what the models are called together"), "What the models are called together.")
    transformers: Mapping[str, TransformerAdapter] = key(
        NOTHING,
        MapOf(
            "a mapping of transformer classes",
            named("the name of a class"),
            part_of(TransformerAdapter),
            1,
            "name the class that it is for",
        ),
        "The transformer classes by name.",
    )
    verified: str = key(
        "", Text("a version of diffusers, as text"), "The version of diffusers on which its classes were tested."
    )
    models: Mapping[str, Mapping[str, Mapping[str, int]]] = key(
        Frozen(),
        MapOf(
            "a mapping of published models",
            named("the name of a published model"),
            MapOf(
                "a mapping of the pipeline's components",
                named("the name of a component"),
                MapOf("a mapping of block lists", LIST, Whole(least=1), 1),
                1,
            ),
        ),
        "Published models, each with its components, their block lists and their block counts. They are for `explain` "
        "and golden plans.",
    )

    def shape(self, name: str | None = None) -> ModelShape:
        """Return a model's block lists with their block counts, for `compile_policy`.

        Args:
            name: one of `models`, or a transformer class; by default the first model, else the first class.

        Raises:
            UnsupportedModel: the adapter does not say how many blocks it has.
        """
        name = name or next(iter((*self.models, *self.transformers)))
        if name in self.models:
            lists = [(of, path, n, self._stack(path)) for of, m in self.models[name].items() for path, n in m.items()]
        else:
            stacks = self.transformers[name].stacks
            lists = [("transformer", path, stack.blocks or 0, stack) for path, stack in stacks.items()]
        if not all(blocks for _, _, blocks, _ in lists):
            raise UnsupportedModel(
                f"{self.family}: how many blocks {name} has is not in the adapter; give every block list its `blocks`, "
                "or name the model under `models`"
            )
        components = dict.fromkeys(of for of, _, _, _ in lists)
        placeless = tuple(of for of in components if not self._places(name, [p for c, p, _, _ in lists if c == of]))
        return ModelShape([stack_shape(*one) for one in lists], name, placeless)

    def to_yaml(self) -> str:
        """Return YAML that loads as an equal adapter; what is as by default is left out."""
        return to_yaml(self)

    def _places(self, name: str, paths: list[str]) -> bool:
        """Tell whether the latent has places in the class `name`, or in one of those that have these lists."""
        named = self.transformers.get(name)
        classes = [named] if named else [one for one in self.transformers.values() if set(paths) <= set(one.stacks)]
        return not classes or any(one.input.places for one in classes)

    def _stack(self, path: str) -> StackAdapter | None:
        """Return the list's adapter; of several classes, of the one that says most."""
        found = (adapter.stacks[path] for adapter in self.transformers.values() if path in adapter.stacks)
        return max(found, key=lambda stack: stack.modulated, default=None)


def stack_shape(component: str, path: str, blocks: int, stack: StackAdapter | None) -> StackShape:
    """Return the shape of one list: whatever a shape has that its adapter has too is copied."""
    names = (one.name for one in attrs.fields(StackShape))
    told = {name: getattr(stack, name) for name in names if hasattr(stack, name)}
    return StackShape(**{"modulated": False, **told, "name": path, "blocks": blocks, "transformer": component})


def _listed(cls: type) -> str:
    return f"a mapping of {', '.join(keys_of(cls))}"
